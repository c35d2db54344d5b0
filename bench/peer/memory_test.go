package peer

import (
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMemoryAndSignal(t *testing.T) {
	heed(t)
	h := host(t)
	p, err := Start(t.Context(), h, shell(`trap 'exit 0' TERM; trap 'echo hung up' HUP; echo ready; while :; do sleep 1 & wait $!; done`))
	if err != nil {
		t.Fatal(err)
	}
	resident, peak, err := p.Memory()
	if err != nil || resident < 64<<10 || resident > 64<<20 || peak < resident {
		t.Errorf("a shell has %d bytes, at most %d, %v", resident, peak, err)
	}
	if err := p.Signal(unix.SIGHUP); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(30 * time.Second); !strings.Contains(p.Output(), "hung up"); {
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the signal has not come")
		}
		time.Sleep(time.Millisecond)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Memory(); err == nil {
		t.Error("one that has ended has memory")
	}
	if err := p.Signal(unix.SIGHUP); err == nil {
		t.Error("one that has ended can be signalled")
	}
}

// heed undoes what nohup does: a shell can't trap a signal that was ignored when it was
// started, as that is inherited; what this process catches is not.
func heed(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGHUP)
	t.Cleanup(func() { signal.Stop(c) })
}

func TestKilobytes(t *testing.T) {
	const status = "Name:\tsh\nVmHWM:\t    1234 kB\nVmRSS:\t 12 kB\nVmBad:\tx kB\n"
	for key, want := range map[string]uint64{"VmHWM:": 1234 << 10, "VmRSS:": 12 << 10} {
		if n, err := kilobytes(status, key); n != want || err != nil {
			t.Errorf("%s is %d, %v, want %d", key, n, err, want)
		}
	}
	for _, key := range []string{"VmBad:", "VmNone:"} {
		if n, err := kilobytes(status, key); err == nil {
			t.Errorf("%s is %d", key, n)
		}
	}
}
