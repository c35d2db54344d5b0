package tap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// lone is an engine without services, which drops what it gets.
type lone struct {
	t      *testing.T
	engine *engine.Engine
	kernel *xsktest.Kernel
}

func newLone(t *testing.T) *lone {
	l := &lone{t: t, kernel: xsktest.New(256, 2048, 64)}
	var err error
	if l.engine, err = engine.NewOffline(engine.Config{MaxFlows: 100, Clock: engine.NewManualClock()}, list(l.kernel.Socket())); err != nil {
		t.Fatal(err)
	}
	return l
}

func list[T any](all ...T) []T { return all }

// pass has the engine handle n packets.
func (l *lone) pass(n int) {
	l.t.Helper()
	for range n {
		if _, err := l.engine.Step(0); err != nil { // it takes frames back
			l.t.Fatal(err)
		}
		if !l.kernel.Deliver(packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn).Bytes()) {
			l.t.Fatal("no room for a packet")
		}
		if n, err := l.engine.Step(0); n != 1 || err != nil {
			l.t.Fatal(n, err)
		}
	}
}

func names() []string { return []string{"eth0"} }

func (l *lone) begin(f *api.CaptureFilter) api.Captured {
	l.t.Helper()
	c, err := Begin(l.engine, names, f)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// read returns the packets of a file, and the names of its interfaces.
func read(t *testing.T, file []byte) (comments []string, interfaces []string) {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		comments = append(comments, r.Interfaces()[p.Interface].Name+" "+p.Comment)
	}
	for _, i := range r.Interfaces() {
		interfaces = append(interfaces, i.Name)
	}
	return comments, interfaces
}

// TestCount: as many as were asked for, with what became of them; then there is room for another one.
func TestCount(t *testing.T) {
	l := newLone(t)
	for range 5 { // more than there may be at a time
		run := l.begin(&api.CaptureFilter{Count: 3, Verdict: []string{"dropped"}})
		l.pass(7)
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		got, interfaces := read(t, out.Bytes())
		if len(got) != 3 || got[0] != "eth0:in dropped: no-flow; worker 0" || strings.Join(interfaces, " ") != "eth0:in eth0:out" {
			t.Errorf("%q by %q", got, interfaces)
		}
	}
}

// TestEnd: it ends in time, with what was captured until then; and when nobody reads.
func TestEnd(t *testing.T) {
	l := newLone(t)
	run := l.begin(&api.CaptureFilter{Time: "30ms"})
	l.pass(2)
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, out.Bytes()); len(got) != 2 {
		t.Errorf("%q", got)
	}
	run = l.begin(&api.CaptureFilter{})
	l.pass(2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out.Reset()
	if err := run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, out.Bytes()); len(got) != 2 {
		t.Errorf("ended before it began: %q", got)
	}
	if err := l.begin(&api.CaptureFilter{})(t.Context(), away{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("nobody reads: %v", err)
	}
}

type away struct{}

func (away) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestLost: how many copies are missing is in the file, before its end and after.
func TestLost(t *testing.T) {
	l := newLone(t)
	run := l.begin(&api.CaptureFilter{Rate: 2, Time: "20ms"})
	l.pass(5)
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, out.Bytes()); len(got) != 2 || !bytes.Contains(out.Bytes(), []byte("left out by the limit of the rate: 3")) {
		t.Errorf("%q in %q", got, out.Bytes())
	}
}

func TestRefused(t *testing.T) {
	l := newLone(t)
	for want, f := range map[string]api.CaptureFilter{
		"no filter expression": {Filter: "foo"}, "there is no verdict": {Verdict: []string{"lost"}}, "want an IP address": {Address: "x"},
		"want a duration": {Time: "never"}, "time \"-1s\"": {Time: "-1s"},
	} {
		var p *api.Problem
		if _, err := Begin(l.engine, names, &f); !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, want) {
			t.Errorf("%+v: %v; want %q", f, err, want)
		}
	}
	for range 4 {
		l.begin(&api.CaptureFilter{})
	}
	var p *api.Problem
	if _, err := Begin(l.engine, names, &api.CaptureFilter{}); !errors.As(err, &p) || p.Status != http.StatusConflict {
		t.Errorf("a fifth one: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	for want, c := range map[string]engine.Captured{
		"forwarded; service web; backend a; request; worker 2": {Verdict: packet.Forwarded, Service: "web", Backend: "a", Worker: 2},
		"forwarded; service web; backend a; reply; worker 0":   {Verdict: packet.Forwarded, Service: "web", Backend: "a", Reply: true},
		"dropped: no-backend; service web; worker 0":           {Verdict: packet.DropNoBackend, Service: "web"},
		"replied; worker 1": {Verdict: packet.Replied, Worker: 1},
	} {
		if got := string(describe(nil, &c)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSideOfALatePort: a port that comes while the capture is under way has interfaces of its own, and
// each packet is counted once, by whichever port it came or left.
func TestSideOfALatePort(t *testing.T) {
	var out bytes.Buffer
	w, err := capture.NewWriter(&out, capture.Format{NG: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{out: w, names: names}
	way := [][2]uint8{{0, 0}, {0, 3}, {3, 0}, {3, 3}}
	for _, w := range way {
		if err := s.write(&engine.Captured{Time: time.Unix(1, 0), Verdict: packet.Forwarded, In: w[0], Out: w[1], Before: []byte{1}, After: []byte{2}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, interfaces := read(t, out.Bytes()); len(got) != 2*len(way) || strings.Join(interfaces, " ") != "eth0:in eth0:out port 3:in port 3:out" {
		t.Errorf("%q by %q", got, interfaces)
	}
	sum, err := capture.Relay(io.Discard, &out)
	if n := Packets(&sum); err != nil || n != uint64(len(way)) {
		t.Errorf("%d packets, want %d, %v", n, len(way), err)
	}
}
