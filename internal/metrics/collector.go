package metrics

import (
	"iter"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/afxlb/afxlb/internal/api"
)

// Source is what a scrape asks: an [api.Source], and what only metrics want to know.
type Source interface {
	Status() api.Status
	Services() []api.Service
	// Figures yields all backends, with what can be counted or measured of them.
	Figures() iter.Seq[api.Backend]
	Counters() []api.Counter
	Latency() Latency
}

// Latency is a histogram of how long packets took: how many of them by upper bounds, in the
// last one what took longer than all of these.
type Latency struct {
	Bounds []time.Duration
	Counts []uint64
	Sum    time.Duration
}

// gather asks src for all but how long probes took.
func (s *scrape) gather(src Source) {
	status := src.Status()
	s.balancer(&status)
	s.workers(&status)
	s.flowTable(&status)
	s.counters(src.Counters())
	s.latency(src.Latency())
	s.services(src.Services())
	s.backends(src.Figures())
}

var states = [...]string{api.StateStarting, api.StateServing, api.StateDegraded, api.StateWaiting, api.StateStopping}

func (s *scrape) balancer(status *api.Status) {
	s.put(buildInfo, 1, status.Version)
	s.put(started, float64(status.Started.UnixMilli())/1000)
	for _, name := range states {
		s.is(state, status.State == name, name)
	}
	codes := map[string]int{}
	for i := range status.Warnings {
		codes[status.Warnings[i].Code]++
	}
	for code, n := range codes {
		s.put(warnings, float64(n), code)
	}
	s.count(generation, status.Generation)
	s.is(reloaded, status.Reload == "" || status.Reload == "ok")
	s.put(overrides, float64(len(status.Overrides)))
	s.put(needRestart, float64(len(status.NeedsRestart)))
	for i := range status.Ports {
		p := &status.Ports[i]
		s.is(portUp, p.State == api.StateServing, p.Name)
		s.count(portReceived, p.Received, p.Name)
		s.count(portSent, p.Sent, p.Name)
		s.count(portCopied, p.Copied, p.Name)
	}
}

func (s *scrape) workers(status *api.Status) {
	for i := range status.Workers {
		w := &status.Workers[i]
		queue := strconv.Itoa(w.Queue)
		s.count(received, w.Received, queue)
		s.count(packets, w.Forwarded, queue, "forward")
		s.count(packets, w.Replied, queue, "reply")
		s.count(packets, w.Punted, queue, "punt")
		s.count(packets, w.Dropped, queue, "drop")
		s.count(misses, w.Misses, queue)
		s.count(batches, w.Batches, queue)
		s.count(sleeps, w.Sleeps, queue)
		f := &w.Frames
		s.count(frames, uint64(f.Free), queue, "free")
		s.count(frames, uint64(f.Filled), queue, "filled")
		s.count(frames, uint64(f.Held), queue, "held")
		s.count(frames, uint64(f.Transmit), queue, "transmit")
	}
}

func (s *scrape) flowTable(status *api.Status) {
	f := &status.Flows
	for class, n := range f.ByClass {
		s.put(flows, float64(n), class)
	}
	s.put(maxFlows, float64(f.MaxFlows))
	s.count(inserted, f.Inserted)
	s.count(expired, f.Expired)
	s.count(evicted, f.EvictedEstablished, "established")
	s.count(evicted, f.EvictedEmbryonic, "embryonic")
	s.count(clashes, f.Clashes)
	s.put(clients, float64(f.Clients))
	s.put(maxClients, float64(f.MaxClients))
	for i := range status.SnatPorts {
		p := &status.SnatPorts[i]
		of := s.label(snatTaken, p.Backend, p.Service)
		s.value(snatTaken, float64(p.Taken), of)
		s.value(snatResting, float64(p.Resting), of)
		s.value(snatTotal, float64(p.Total), of)
	}
}

func (s *scrape) counters(list []api.Counter) {
	for i := range list {
		c := &list[i]
		switch {
		case c.Group == "packets" && c.Loss:
			s.count(drops, c.Value, c.Name)
		case c.Group == "steering":
			s.count(steering, c.Value, c.Name)
		case c.Group == "services":
			s.count(serviceFull, c.Value)
		case c.Group == "checksums":
			s.count(finished, c.Value)
		case c.Group == "kernel" && kernel[c.Name] != nil:
			s.count(kernel[c.Name], c.Value)
		}
	}
}

func (s *scrape) latency(l Latency) {
	h, sum := &dto.Histogram{}, uint64(0)
	for i, n := range l.Counts {
		if sum += n; i < len(l.Bounds) {
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: new(l.Bounds[i].Seconds()), CumulativeCount: new(sum)})
		}
	}
	h.SampleCount, h.SampleSum = &sum, new(l.Sum.Seconds())
	s.add(latency).Histogram = h
}

func (s *scrape) services(list []api.Service) {
	for i := range list {
		v := &list[i]
		s.is(serviceUp, v.InRotation > 0, v.Name)
		for _, f := range [...]string{"backup", "panic", "down"} {
			s.is(serviceFallback, v.Fallback == f, f, v.Name)
		}
		if v.Announce != "none" {
			s.is(serviceHeld, v.Announced, v.Name)
			s.is(serviceRival, v.AddressConflict != "", v.Name)
		}
	}
}

func (s *scrape) backends(list iter.Seq[api.Backend]) {
	type group struct{ service, state string }
	sums := map[group]int{}
	toward, back := s.pair(direction, "in"), s.pair(direction, "out")
	for b := range list {
		sums[group{b.Service, b.State}]++
		of := s.label(backendUp, b.Name, b.Service)
		in, out := s.join(of[0], toward, of[1]), s.join(of[0], back, of[1])
		s.value(backendUp, number(b.State == "up" || b.State == "drain"), of)
		s.value(backendShare, float64(b.Share)/100, of)
		if b.MaxConns > 0 {
			s.value(backendMax, float64(b.MaxConns), of)
			s.value(backendStanding, float64(b.Standing), of)
		}
		s.value(backendWeight, float64(b.Weight), of)
		s.value(backendLive, float64(b.Live), of)
		s.value(backendFlows, float64(b.Flows), of)
		s.value(backendPackets, float64(b.PacketsIn), in)
		s.value(backendPackets, float64(b.PacketsOut), out)
		s.value(backendBytes, float64(b.BytesIn), in)
		s.value(backendBytes, float64(b.BytesOut), out)
	}
	for g, n := range sums {
		s.put(serviceBackends, float64(n), g.service, g.state)
	}
}

// direction is the name of the label between a backend's own two.
var direction = &backendPackets.Labels[1]
