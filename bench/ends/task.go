package ends

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
)

// ServerTask and ClientTask name the handlers of [Server] and of [Task], which are
// [Serve] and [Ask], for [child.Main].
const ServerTask, ClientTask = "ends/server", "ends/client"

// Task is what a client does. Its result is one sample with what [Kind] says; values
// only have a name and a number.
type Task struct {
	Kind     Kind
	Protocol string // tcp or udp
	Server   netip.AddrPort
	CPUs     []int

	Duration time.Duration // how long, with a tenth more before it counts
	Sockets  int           // of Load and Connect; of Ping, those beside it
	Rate     float64       // of Ping: questions a second that are asked beside it
}

// Value returns the named value of a sample; 0 if there is none.
func Value(s result.Sample, name string) float64 {
	for _, v := range s.Values {
		if v.Name == name {
			return v.V
		}
	}
	return 0
}

// Kind is a kind of tasks.
type Kind string

// The kinds, each with the values of its sample.
const (
	// Ping asks one question at a time: [Times], how many were lost; and of what is
	// asked beside it the rate, and the share that was unanswered.
	Ping Kind = "ping"
	// Load asks on all sockets, each again when it was answered: the rate, how many
	// were done in all, how many failed.
	Load Kind = "load"
	// Connect opens a connection for each question and closes it, so many at a time:
	// the rate, how many were done in all, how many failed, and [Why].
	Connect Kind = "connect"
)

// Ask is the child's handler of a [Task].
func Ask(task json.RawMessage, out *child.Out) error {
	var t Task
	if err := json.Unmarshal(task, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	if err := settle(t.CPUs); err != nil {
		return err
	}
	var s result.Sample
	var err error
	switch t.Kind {
	case Ping:
		s, err = t.ping()
	case Load:
		s.Values, err = t.load()
	case Connect:
		s, err = t.connect()
	default:
		err = fmt.Errorf("no kind %q of tasks", t.Kind)
	}
	if err != nil {
		return err
	}
	out.Sample(s)
	return nil
}

// settle pins this process and keeps the garbage collector from it, which comes only
// when there is very much of it.
func settle(cpus []int) error {
	runtime.LockOSThread() // for good
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(512 << 20)
	if len(cpus) == 0 {
		return nil
	}
	if err := peer.PinProcess(os.Getpid(), cpus); err != nil {
		return fmt.Errorf("settle on CPUs: %w", err)
	}
	return nil
}

// perSecond is a rate.
func perSecond(n int, d time.Duration) float64 { return float64(n) / math.Max(d.Seconds(), 1e-9) }
