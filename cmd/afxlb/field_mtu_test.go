package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// setMTUs sets the MTU of the balancer's cable and of all others.
func (w *world) setMTUs(mtu int) {
	w.t.Helper()
	for _, h := range append(append([]*lab.Host{w.lab.Balancer}, w.lab.Clients...), w.lab.Backends...) {
		if err := w.lab.SetMTUs(h, mtu); err != nil {
			w.t.Fatal(err)
		}
	}
}

// transfer sends a megabyte to a backend's echo server, and has it back within the time.
func (w *world) transfer(within time.Duration) error {
	w.t.Helper()
	return w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(natVIP4, streamPort), within)
}

// transferFrom is transfer by another client, or to another service.
func (w *world) transferFrom(h *lab.Host, to netip.AddrPort, within time.Duration) error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	sent := make([]byte, 1<<20)
	if _, err := io.ReadFull(&lab.Stream{}, sent); err != nil {
		return err
	}
	go func() { _, _ = c.Write(sent) }() // an error shows in what comes back
	name, got := make([]byte, len("b0\n")), make([]byte, len(sent))
	if _, err := io.ReadFull(c, name); err != nil {
		return err
	}
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%d bytes came back: %w", n, err)
	}
	if !bytes.Equal(sent, got) {
		return errors.New("other bytes came back")
	}
	return nil
}

func (w *world) mustTransfer(when string) {
	w.t.Helper()
	if err := w.transfer(patience); err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
}

// C20: an MTU whose packets no frame takes is refused at the start, with the one that
// would do; and that one does.
func TestFieldMTUAtTheStart(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	streams := streamService("streams", natVIP4, "nat", quickHealth)
	config := w.writeConfig("afxlb.yaml", streams)
	for _, c := range []struct {
		mode, frame string
		mtu, would  int
	}{
		{"auto", "", 9001, 9000}, {"generic", "", 9001, 9000}, {"zero-copy", "", 3051, 3050}, // of which some drivers take less of a frame
		{"auto", "driver: asavie\n", 3627, 3626}, {"copy", "driver: asavie\nframe-size: 2048\n", 1579, 1578}, {"zero-copy", "frame-size: 2048\n", 1003, 1002},
	} {
		w.setMTUs(c.mtu)
		config := w.writeConfig(c.mode+".yaml", streams, "xdp-mode: "+c.mode+"\n"+c.frame)
		was, would := fmt.Sprint("eth0 has an MTU of ", c.mtu), fmt.Sprintf("set the MTU to %d at most", c.would)
		p := w.start(nil, "--config", config)
		if code := p.exit(); code != exitMachine || !strings.Contains(p.output(), was) || !strings.Contains(p.output(), would) {
			t.Errorf("%s: exit code %d:\n%s", c.mode, code, p.output())
		}
		_ = w.lab.Balancer.Do(func() error {
			if code, _, stderr := cli("check", "--here", config); code != exitMachine || !strings.Contains(stderr, would) {
				t.Errorf("%s: check --here: exit code %d, %q", c.mode, code, stderr)
			}
			return nil
		})
	}
	w.setMTUs(1500)
	p := w.serve(w.writeConfig("large.yaml", streams, "frame-size: 4096\n"))
	if size := p.status().Workers[0].Frames.Size; size != 4096 {
		t.Errorf("frames of %d bytes where 4096 are asked for", size)
	}
	p.stop()
	w.setMTUs(3626)
	p = w.serve(config)
	w.mustTransfer("with the MTU that was named")
	if s := p.status(); warned(s, "mtu") != "" || len(s.Drops) != 0 {
		t.Errorf("%v, %v", s.Warnings, s.Drops)
	}
	p.stop()
}

// C20, at run time: as long as there are frames that take them, larger packets are
// carried; beyond, what is lost is said, and goes on to be counted.
func TestFieldMTUChanges(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), streamService("streams", natVIP4, "nat", quickHealth)),
		"--xdp-mode", "generic") // a native program has the kernel refuse what is too large
	s := w.openStreams(6, natVIP4)
	if size := p.status().Workers[0].Frames.Size; size != 2048 {
		t.Errorf("frames of %d bytes for an MTU of 1500", size)
	}
	w.setMTUs(3000)
	p.await("have larger frames", func(s api.Status) bool {
		return s.State == "serving" && len(s.Workers) == queues && s.Workers[0].Frames.Size == 4096 && s.Backends.Up == s.Backends.Total
	})
	p.awaitLines(1, "WARN.*serving anew.*an MTU of 3000 wants larger frames")
	w.mustTransfer("with larger frames")
	s.mustLive("with larger frames")
	if n := p.counter("kernel", "rx-dropped"); n != 0 {
		t.Errorf("%d packets were lost", n)
	}

	w.setMTUs(9000)
	p.await("have packets in several frames", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == s.Backends.Total })
	p.awaitLines(1, "WARN.*serving anew.*an MTU of 9000 wants several frames a packet")
	w.mustTransfer("with packets in several frames")
	s.mustLive("with packets in several frames")
	if n := p.counter("kernel", "rx-dropped"); n != 0 {
		t.Errorf("%d packets were lost", n)
	}

	w.setMTUs(16000)
	in := p.await("tell of what is lost", func(s api.Status) bool { return s.State == "degraded" && warned(s, "mtu") != "" })
	if text := warned(in, "mtu"); in.Reason != text || !strings.Contains(text, "the MTU is 16000") || !strings.Contains(text, "set it to 9000 at most") {
		t.Errorf("%q because of %q", in.State, in.Reason)
	}
	p.awaitLines(1, "WARN.*the MTU is 16000")
	w.mustAnswer(10, natVIP4) // small packets
	s.mustLive("with an MTU that is too large")
	if err := w.transfer(time.Second); err == nil {
		t.Error("a megabyte passed in packets that fit no frame")
	}
	p.await("count what is lost", func(s api.Status) bool { return p.counter("kernel", "rx-pieces") > 0 && len(s.Drops) > 0 })

	w.setMTUs(1500)
	p.await("see the end of it", func(s api.Status) bool { return s.State == "serving" && warned(s, "mtu") == "" })
	p.awaitLines(1, "WARN.*over: eth0: the MTU is 16000")
	w.mustTransfer("with the first MTU again")
	s.mustLive("with the first MTU again")
	p.stop()
}

// On a bridge, packets have been merged by its ports before; what is merged fits no frame.
// It is said, and over when that is switched off.
func TestFieldMergedPackets(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	h := w.lab.Balancer
	if err := errors.Join(h.AddBridge("br0"), h.SetFeature(lab.Interface, "rx-gro", true)); err != nil {
		t.Fatal(err)
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", streamService("streams", natVIP4, "nat", quickHealth)), "--interface", "br0")
	s := p.await("tell of the loss", func(s api.Status) bool { return s.State == "degraded" && s.Backends.Up == 3 })
	if text := warned(s, "gro"); s.Reason != text || !strings.Contains(text, "ethtool -K eth0 gro off") {
		t.Errorf("%q because of %q", text, s.Reason)
	}
	p.awaitLines(1, "WARN.*GRO is on for eth0")
	if err := h.SetFeature(lab.Interface, "rx-gro", false); err != nil {
		t.Fatal(err)
	}
	p.await("see the end of it", func(s api.Status) bool { return s.State == "serving" && warned(s, "gro") == "" })
	w.mustTransfer("on a bridge")
	p.stop()
}

// While there is no carrier nothing is served, and the state says so.
func TestFieldLinkDownIsNotServing(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	for range 2 {
		if err := w.lab.SetPort(w.lab.Balancer, false); err != nil {
			t.Fatal(err)
		}
		s := p.await("see the link down", func(s api.Status) bool { return s.State == "degraded" && warned(s, "link") != "" })
		if s.Reason != "no carrier" || s.Services.Up != 0 {
			t.Errorf("%s (%s), %d services up", s.State, s.Reason, s.Services.Up)
		}
		if err := w.lab.SetPort(w.lab.Balancer, true); err != nil {
			t.Fatal(err)
		}
		p.await("see it up", func(s api.Status) bool { return s.State == "serving" && s.Reason == "" && s.Backends.Up == 3 })
	}
	p.awaitLines(2, "WARN.*the link is down")
	p.stop()
}
