package rig

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
)

// mix is what arrives.
type mix struct {
	Sizes traffic.Sizes
	New   float64 // share of packets that open a flow
}

// outcome is what one measurement has found, over all workers that took part.
type outcome struct {
	packets uint64
	perSec  float64       // sum of the workers' rates
	busy    time.Duration // in passes, sum
	batches *hdrhistogram.Histogram
	bytes   uint64 // allocated
	objects uint64
	misses  uint64
	all     uint64 // packets that misses is out of: those that were not timed too
}

// newHistogram takes batch times from a ns to ten seconds, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 10e9, 3) }

// measure times so many packets of each worker, all at the same time: they warm up,
// start together, and who is done goes on untimed until all are.
func (r *Rig) measure(m mix, packets int, workers ...int) (*outcome, error) {
	runs := make([]run, len(workers))
	var warm, done sync.WaitGroup
	var starting, working atomic.Int32
	starting.Store(int32(len(workers)))
	working.Store(int32(len(workers)))
	start := make(chan struct{})
	for i, w := range workers {
		warm.Add(1)
		done.Go(func() {
			runs[i] = run{line: r.lines[w], batches: newHistogram()}
			if runs[i].err = pin(i); runs[i].err == nil {
				runs[i].warm(m, packets)
			}
			warm.Done()
			<-start
			for starting.Add(-1); starting.Load() > 0; {
				runtime.Gosched() // not a channel, which would wake one after the other
			}
			runs[i].timed(packets, m.New)
			for working.Add(-1); working.Load() > 0; {
				runs[i].untimed(m, batch)
			}
		})
	}
	warm.Wait()
	before, err := r.totals()
	from := readAllocs()
	close(start)
	done.Wait()
	to := readAllocs()
	if err != nil {
		return nil, err
	}

	o := &outcome{batches: newHistogram(), bytes: to.bytes - from.bytes, objects: to.objects - from.objects}
	for i := range runs {
		if runs[i].err != nil {
			return nil, runs[i].err
		}
		o.add(&runs[i])
	}
	after, err := r.totals()
	if err != nil {
		return nil, err
	}
	o.misses, o.all, err = account(&before, &after)
	return o, err
}

func (o *outcome) add(r *run) {
	o.packets += r.packets
	o.busy += r.busy
	o.perSec += float64(r.packets) / r.busy.Seconds()
	o.batches.Merge(r.batches)
}

// perPacket returns the ns of one core that a packet takes.
func (o *outcome) perPacket() float64 { return float64(o.busy.Nanoseconds()) / float64(o.packets) }

// run is one worker's part of a measurement.
type run struct {
	line    *line
	frames  *traffic.Frames
	packets uint64
	busy    time.Duration
	batches *hdrhistogram.Histogram
	err     error
}

// warm brings the caches, the worker's own too, and the branch predictors to where they
// stay. Known packets come as many as will be timed, or each twice if that is less. But
// new flows push known ones out of the worker's cache: in their company, each comes
// twice in any case, to undo what the last measurement did.
func (r *run) warm(m mix, packets int) {
	known := mix{Sizes: m.Sizes}
	if m.New > 0 {
		r.untimed(known, 2*len(r.line.packets))
		r.untimed(m, packets/8)
	} else {
		r.untimed(known, min(packets, 2*len(r.line.packets)))
	}
}

// untimed has the worker handle so many packets.
func (r *run) untimed(m mix, packets int) {
	if r.frames == nil && r.err == nil {
		r.frames, r.err = traffic.NewFrames(r.line.rig.config.Family, m.Sizes, backends, r.line.rig.ends)
	}
	since := time.Now()
	for ; packets > 0 && r.err == nil; packets -= batch {
		if r.err = r.line.fill(r.frames, m.New); r.err == nil {
			_, r.err = r.line.step(since)
		}
	}
}

func (r *run) timed(packets int, share float64) {
	since := time.Now()
	for r.err == nil && r.packets < uint64(packets) {
		r.err = r.one(since, share)
	}
}

// one fills and times a batch.
func (r *run) one(since time.Time, share float64) error {
	if err := r.line.fill(r.frames, share); err != nil {
		return err
	}
	took, err := r.line.step(since)
	if err != nil {
		return err
	}
	r.busy += took
	r.packets += batch
	if err := r.batches.RecordValue(took.Nanoseconds()); err != nil {
		return fmt.Errorf("rig: a batch took %v: %w", took, err)
	}
	return nil
}

// percentiles returns the batch times as figures.
func percentiles(h *hdrhistogram.Histogram) []result.Value {
	var values []result.Value
	for _, q := range []float64{50, 99, 99.9, 99.99} {
		values = append(values, result.Value{Name: fmt.Sprintf("batch p%v", q), Unit: "ns", Detail: q == 99 || q == 99.9, V: float64(h.ValueAtQuantile(q))})
	}
	return append(values, result.Value{Name: "batch max", Unit: "ns", Detail: true, V: float64(h.Max())})
}
