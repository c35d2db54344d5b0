package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/lab"
)

// awaitEvent waits for an event, and returns all.
func (p *process) awaitEvent(what string, is func(*api.Event) bool) (list []api.Event) {
	p.t.Helper()
	p.await("tell of "+what, func(api.Status) (ok bool) {
		var err error
		if list, err = p.api.Events(p.t.Context(), time.Time{}); err != nil {
			p.t.Fatal(err)
		}
		for i := range list {
			ok = ok || is(&list[i])
		}
		return ok
	})
	return list
}

func ofBackend(kind events.Kind, name string, since uint64) func(*api.Event) bool {
	return func(e *api.Event) bool { return e.Kind == kind && e.Backend == name && e.Seq > since }
}

// What happens is told of once in the log and once by the control socket, and the two
// agree; who follows gets each as it comes.
func TestFieldEvents(t *testing.T) {
	w := newWorld(t)
	web := service("web", natVIP4, "nat", "tcp", quickHealth)
	p := w.serve(w.writeConfig("afxlb.yaml", web))
	var followed tail
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	go func() {
		code <- run(ctx, &env{stdout: &followed, stderr: &followed}, []string{"events", "-f", "--json", "--socket", p.socket})
	}()

	w.web[1].Kill()
	list := p.awaitEvent("a death", ofBackend(events.BackendDown, "b1", 0))
	if err := w.web[1].Start(); err != nil {
		t.Fatal(err)
	}
	p.awaitEvent("its return", ofBackend(events.BackendUp, "b1", list[len(list)-1].Seq))
	w.writeConfig("afxlb.yaml", strings.Replace(web, "name: b2", "weight: 0, name: b2", 1))
	generation := p.reload().Generation
	drained := p.awaitEvent("a drain", ofBackend(events.BackendDrain, "b2", 0))
	w.writeConfig("afxlb.yaml", web, "  - {name: wrong}\n")
	if _, err := p.api.Reload(t.Context()); err == nil {
		t.Error("a wrong file is taken")
	}
	link, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err == nil {
		err = w.lab.Balancer.Netlink().LinkSetDown(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	list = p.awaitEvent("the link", func(e *api.Event) bool { return e.Kind == events.Link && !e.Over })

	var kinds []events.Kind
	for _, e := range list {
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
		}
		level := strings.ToUpper(string(e.Severity))
		p.awaitLines(1, fmt.Sprintf(`%s\s+%s.*"event": "%s", "seq": %d}`, level, regexp.QuoteMeta(e.Text), e.Kind, e.Seq))
		if n := p.lines(fmt.Sprintf(`"seq": %d}`, e.Seq)); n != 1 {
			t.Errorf("event %d is in the log %d times", e.Seq, n)
		}
	}
	for _, k := range []events.Kind{events.Start, events.Serving, events.Reload, events.ReloadRefused} {
		if !slices.Contains(kinds, k) {
			t.Errorf("no event of kind %s in %v", k, kinds)
		}
	}
	if i := slices.IndexFunc(drained, func(e api.Event) bool { return e.Kind == events.BackendDrain }); drained[i].Generation != generation {
		t.Errorf("generation %d, the reload's is %d", drained[i].Generation, generation)
	}
	last := list[len(list)-1].Seq
	followed.await(t, fmt.Sprintf(`"seq":%d,`, last))
	stop()
	if c := <-code; c != exitDone {
		t.Errorf("events -f ended with %d: %s", c, followed.String())
	}
	for i, line := range strings.Split(strings.TrimSpace(followed.String()), "\n") {
		var e api.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != uint64(i+1) {
			t.Errorf("line %d: %s, %v", i, line, err)
		}
	}
	if code, stdout, _ := cli("events", "--since", "1h", "--socket", p.socket); code != exitDone || !strings.Contains(strings.Join(strings.Fields(stdout), " "), " WARN backend-down web/b1 backend is down: ") {
		t.Errorf("events: %d\n%s", code, stdout)
	}
	p.stop()
}

// tail is what a command has printed so far.
type tail struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *tail) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(b)
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.String()
}

func (o *tail) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(o.String(), text); time.Sleep(poll) {
		if time.Now().After(end) {
			t.Errorf("no %q in %s", text, o.String())
			return
		}
	}
}

// Whatever clients of the control socket do, connections go on, and the balancer keeps its
// descriptors and its memory.
func TestFieldControlSocketUnderFire(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	// No check: a backend that is slow to answer on a machine as busy makes a generation.
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "health: {type: none},")))
	s := w.openStreams(30, natVIP4)
	rubbish := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(rubbish)
	requests := [][]byte{
		rubbish,
		append([]byte("POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"), rubbish...),
		append([]byte("POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"), rubbish...),
		append([]byte("POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n"), rubbish...), // the rest does not come
		[]byte("POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{\"a\": []}"),
		[]byte("POST /v1/reload?dry-run=perhaps HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
		[]byte("GET /v1/flows?limit=1000000 HTTP/1.1\r\nHost: x\r\n\r\n"),
		[]byte("GET /v1/watch?rate=5 HTTP/1.1\r\nHost: x\r\n\r\n"), // neither of these reads
		[]byte("GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"),
		[]byte("GET /v1/stat"),
		nil,
	}
	before, resident := p.settled(), p.resident() // the router becomes known when clients come, which is a fact
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			c, err := net.Dial("unix", p.socket)
			if err != nil {
				return // the backlog is full
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = c.Write(requests[i%len(requests)])
			_, _ = c.Read(make([]byte, 1)) // until it is answered, cut off, or tired
		})
	}
	s.mustLive("while a thousand clients talk rubbish")
	wg.Wait()
	s.mustLive("after them")
	w.openStreams(6, natVIP4).close()
	if now := p.status(); now.Generation != before.Generation || now.Reload != "" {
		t.Errorf("generation %d, before it was %d; reload %q", now.Generation, before.Generation, now.Reload)
	}
	if n := p.lines("WARN.*(superfluous|panic)"); n > 0 {
		t.Errorf("%d complaints in the log:\n%s", n, p.output())
	}
	const most = 64 << 10 // kB more
	if n := p.resident() - resident; n > most {
		t.Errorf("%d MB more are resident, want %d at most", n>>10, most>>10)
	}
	s.close()
	p.stop()
}

// resident returns how much memory the process has, in kB.
func (p *process) resident() (kB int) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		p.t.Fatal(err)
	}
	return kB
}
