package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// A thousand reloads in a row, of two configs by turns, under long transfers and short
// requests: none of these fails or breaks, and no memory, descriptor or ID is left behind.
// A wrong file in the midst of them changes nothing.
func TestFieldThousandReloads(t *testing.T) {
	const reloads, transfers = 1000, 500
	w := newWorld(t)
	w.listenStreams()
	backend := func(i, weight int) string {
		return fmt.Sprintf("{name: b%d, address: %q, weight: %d}", i, lab.BackendAddr(i), weight)
	}
	extra := netip.MustParseAddr("192.0.2.77")
	// All that may change without a flow's end does: names, order, weights, algorithms,
	// questions, settings, and a service that comes and goes.
	configs := [][]byte{}
	for _, c := range [][]string{
		{
			streamService("streams", natVIP4, "nat", "algorithm: maglev, "+quickHealth, backend(0, 1), backend(1, 1), backend(2, 1)),
			service("web", natVIP4, "nat", "tcp", quickHealth), "log: {level: warn}\nconntrack: {max-flows: 20000}\n",
		},
		{
			service("www", natVIP4, "nat", "tcp", "algorithm: least-conn, "+strings.Replace(quickHealth, "fall: 2", "fall: 3", 1)),
			service("extra", extra, "nat", "tcp", quickHealth),
			streamService("streams", natVIP4, "nat", "algorithm: source-hash, "+quickHealth, backend(2, 3), backend(0, 1), backend(1, 0)),
			"log: {level: error}\nconntrack: {max-flows: 20000, timeouts: {tcp-established: 10m}}\n",
		},
	} {
		configs = append(configs, readFile(t, w.writeConfig("afxlb.yaml", c...)))
	}
	config := filepath.Join(w.dir, "afxlb.yaml")
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(config, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(configs[0])
	p := w.newProcess(nil)
	p.Env = append(p.Env, "GODEBUG=gctrace=1", "GOGC=50") // many collections, so that the latest are of now
	p.Cmd.Args = append(p.Cmd.Args, "--config", config)
	p.launch(w, p.Cmd.Args)
	p.settled()
	long := w.openStreamsEvery(transfers, natVIP4, 200*time.Millisecond)
	short := w.startShort(2, natVIP4)

	wrong := strings.Replace(string(configs[0]), "weight: 1", "weihgt: 1", 1)
	var early, descriptors int
	for i := 1; i <= reloads; i++ {
		put(configs[i%2])
		p.reload()
		switch i {
		case reloads / 5: // all has been there that will be
			early, descriptors = p.liveHeap(), p.descriptors()
		case reloads / 2:
			before := p.status().Generation
			put([]byte(wrong))
			_, err := p.api.Reload(t.Context())
			if want := config + `:3: services[0].backends[0].weihgt: unknown key; did you mean "weight"?`; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the wrong file: %v, want %q", err, want)
			}
			if s := p.status(); s.Generation != before || s.Services.Total != 2 || !strings.Contains(s.Reload, "weihgt") {
				t.Errorf("the wrong file has changed something: generation %d, was %d, %d services, reload %q", s.Generation, before, s.Services.Total, s.Reload)
			}
		}
	}
	long.mustLive("after all reloads")
	if n, err := short.end(); err != nil || n == 0 {
		t.Errorf("%d short requests were answered, and then: %v", n, err)
	} else {
		t.Logf("%d short requests were answered", n)
	}
	if n := p.counter("flows", "evicted-established"); n != 0 {
		t.Errorf("%d flows were evicted", n)
	}
	late := p.liveHeap()
	t.Logf("live heap: %d MB after %d reloads, %d MB after %d; %d collections", early, reloads/5, late, reloads, p.lines(`^gc \d+ @`))
	if late > early+2 { // 4 kB a reload, with what rounding hides
		t.Errorf("the live heap was %d MB after %d reloads, and is %d MB after %d", early, reloads/5, late, reloads)
	}
	if n := p.descriptors(); n > descriptors+8 { // of clients and probes
		t.Errorf("%d descriptors are open, were %d", n, descriptors)
	}
	p.stop()
}

// liveHeap returns what of the heap the last collections found alive, at the least, in MB. It
// is of a process with GODEBUG=gctrace=1.
func (p *process) liveHeap() int {
	p.t.Helper()
	all := regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB`).FindAllStringSubmatch(p.output(), -1)
	const few = 5
	if len(all) < few {
		p.t.Fatalf("%d collections are no measure", len(all))
	}
	live := []int{}
	for _, m := range all[len(all)-few:] {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			p.t.Fatal(err)
		}
		live = append(live, n)
	}
	return slices.Min(live)
}

func (p *process) descriptors() int {
	p.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

// short is clients that ask one question after the other, each by a connection of its own.
type short struct {
	stop     context.CancelFunc
	all      sync.WaitGroup
	answered atomic.Int64
	failed   atomic.Pointer[error]
}

func (w *world) startShort(clients int, vip netip.Addr) *short {
	ctx, stop := context.WithCancel(w.t.Context())
	s := &short{stop: stop}
	for range clients {
		s.all.Go(func() {
			for ctx.Err() == nil {
				if _, err := w.get(vip); err != nil && ctx.Err() == nil {
					s.failed.CompareAndSwap(nil, &err)
					return
				}
				s.answered.Add(1)
			}
		})
	}
	w.t.Cleanup(func() { _, _ = s.end() })
	return s
}

// end ends them, and returns how many were answered, and why one was not.
func (s *short) end() (n int64, err error) {
	s.stop()
	s.all.Wait()
	if failed := s.failed.Load(); failed != nil {
		err = *failed
	}
	return s.answered.Load(), err
}
