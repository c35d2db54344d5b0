package events

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Kept is how many events a [Recorder] remembers.
const Kept = 1024

// Recorder writes events to the log, and keeps the last of them. Anybody may call its
// methods at any time; who reads never waits for the log.
type Recorder struct {
	log     *zap.Logger
	process string

	generation atomic.Uint64

	telling sync.Mutex // held over one event: the log has them in the order of their numbers

	mu   sync.Mutex
	ring []Event       // number n at n % Kept
	last uint64        // number of the last one; 0: none
	more chan struct{} // closed when there is one more
}

// NewRecorder returns one that has nothing yet.
func NewRecorder(log *zap.Logger) *Recorder {
	return &Recorder{
		log: log, process: strconv.FormatInt(time.Now().UnixMilli(), 36),
		ring: make([]Event, 0, Kept), more: make(chan struct{}),
	}
}

// InForce says which generation of the balancing table is in force from now on.
func (r *Recorder) InForce(generation uint64) { r.generation.Store(generation) }

// Record gives e its number, time and generation, writes it to the log and keeps it. The log has the
// details besides.
func (r *Recorder) Record(e Event, details ...zap.Field) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.keep(&e)
	r.log.Log(level(e.Severity), e.Text, fields(&e, details)...)
}

func (r *Recorder) keep(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	e.Seq, e.Time, e.Generation = r.last, time.Now(), r.generation.Load()
	if len(r.ring) < Kept {
		r.ring = append(r.ring, *e) // number 1 at index 0
	} else {
		r.ring[(r.last-1)%Kept] = *e
	}
	close(r.more)
	r.more = make(chan struct{})
}

// After returns the events that came after the one of a number, how many of these are not
// kept any more, and a channel that is closed when there are more.
func (r *Recorder) After(seq uint64) (list []Event, missed uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.last - uint64(len(r.ring)) + 1 // that is kept
	if seq+1 < first {
		missed, seq = first-seq-1, first-1
	}
	for n := seq + 1; n <= r.last; n++ {
		list = append(list, r.ring[(n-1)%Kept])
	}
	return list, missed, r.more
}

// ID returns a name for an event of this process's that no other process has for one.
func (r *Recorder) ID(seq uint64) string { return r.process + "-" + strconv.FormatUint(seq, 10) }

// Number returns the number of the event with an ID. It is ok if that is one of this
// process's.
func (r *Recorder) Number(id string) (seq uint64, ok bool) {
	process, number, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	return seq, err == nil && process == r.process && seq <= r.last
}

// fields are those of an event that say something.
func fields(e *Event, details []zap.Field) []zap.Field {
	var list []zap.Field
	add := func(name, value string) {
		if value != "" {
			list = append(list, zap.String(name, value))
		}
	}
	add("service", e.Service)
	add("backend", e.Backend)
	add("address", e.Address)
	add("interface", e.Interface)
	list = append(list, details...)
	add("reason", e.Reason)
	return append(list, zap.String("event", string(e.Kind)), zap.Uint64("seq", e.Seq))
}

func level(s Severity) zapcore.Level {
	switch s {
	case Info:
		return zapcore.InfoLevel
	case Warning:
		return zapcore.WarnLevel
	default:
		return zapcore.ErrorLevel
	}
}
