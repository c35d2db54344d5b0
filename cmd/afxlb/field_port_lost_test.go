package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// The tests of what is taken from a balancer while its interface stays, or seems to.

// servePorts serves a service by one interface, or by two.
func (w *world) servePorts(two bool) *process {
	w.t.Helper()
	web := service("nat4", natVIP4, "nat", "tcp", quickHealth)
	if two {
		return w.serve(w.writePorts(web))
	}
	return w.serve(w.writeConfig("afxlb.yaml", web))
}

// An interface that is moved to another network namespace and back has the index that it had,
// and its sockets are dead: it is served anew, also while the worker has no rest for the other
// interface's packets.
func TestFieldInterfaceElsewhereForAMoment(t *testing.T) {
	for _, c := range []struct {
		name string
		two  bool
	}{{lab.Interface, false}, {lab.Interface, true}, {lab.Inner, true}} {
		t.Run(fmt.Sprint(c.name, " two ", c.two), func(t *testing.T) {
			inner := 0
			if c.two {
				inner = queues
			}
			w := newWorldOf(t, inner)
			p := w.servePorts(c.two)
			w.mustAnswer(10, natVIP4)
			c0 := w.openCable(w.lab.Clients[0])
			stop, pinged := make(chan struct{}), make(chan struct{})
			go func() { // which the balancer answers by the first interface alone
				defer close(pinged)
				for {
					select {
					case <-stop:
						return
					case <-time.After(poll):
						c0.send(packettest.Echo(lab.ClientAddr(0).String(), natVIP4.String(), 7))
					}
				}
			}()
			if err := w.lab.Balancer.MoveAwayAndBack(c.name, w.lab.Switch); err != nil {
				t.Fatal(err)
			}
			p.awaitLines(1, "WARN.*"+c.name+".*interface is gone")
			p.await("serve it again", func(s api.Status) bool {
				return s.State == "serving" && portOf(&s, c.name).State == "serving" && s.Backends.Up == s.Backends.Total
			})
			p.awaitLines(2, "INFO.*serving.*"+c.name+`.*"queue": 0`)
			close(stop)
			<-pinged
			w.mustAnswer(10, natVIP4)
			p.checkSums()
			p.stop()
		})
	}
}

// detachPrograms takes the programs off the balancer's interfaces, as bpftool link detach does,
// and returns how many there were.
func (w *world) detachPrograms(pid int) (n int) {
	w.t.Helper()
	folder := fmt.Sprintf("/proc/%d/fdinfo", pid)
	list, err := os.ReadDir(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		text, _ := os.ReadFile(folder + "/" + e.Name()) // it may be closed by now
		_, rest, found := strings.Cut(string(text), "link_id:")
		if !found {
			continue
		}
		var id link.ID
		if _, err := fmt.Sscan(rest, &id); err != nil {
			w.t.Fatal(err)
		}
		l, err := link.NewFromID(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := l.Detach(); err != nil {
			w.t.Error(err)
		}
		l.Close()
		n++
	}
	return n
}

// Whoever takes the program off an interface has the kernel get all packets: that is told, and
// ended.
func TestFieldProgramTakenOff(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprint("two ", two), func(t *testing.T) {
			ports := 1
			if two {
				ports = 2
			}
			w := newWorldOf(t, ports-1)
			p := w.servePorts(two)
			w.mustAnswer(10, natVIP4)
			if n := w.detachPrograms(p.Process.Pid); n != ports || w.attached() {
				t.Fatalf("%d programs are detached, attached %v", n, w.attached())
			}
			p.awaitLines(1, "WARN.*trying again.*the steering program is not on the interface any more")
			p.await("serve again", func(s api.Status) bool {
				return w.attached() && s.State == "serving" && s.Backends.Up == s.Backends.Total
			})
			w.mustAnswer(10, natVIP4)
			if n := p.lines("it is served, or nothing is"); n != 0 {
				t.Error("what ends is taken once more")
			}
			p.checkSums()
			p.stop()
		})
	}
}

// A log that nobody reads any more holds nobody up: not a backend's fall, nor a reload, nor the
// end.
func TestFieldLogThatNobodyReads(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth))
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	size, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, 4096)
	if err != nil {
		t.Fatal(err)
	}
	p := w.newProcess(nil)
	p.Cmd.Args = append(p.Cmd.Args, "--config", config)
	p.Stderr = writer
	p.launch(w, nil)
	writer.Close()
	up := func(n int) {
		t.Helper()
		p.await(fmt.Sprint("have ", n, " backends up"), func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == n })
	}
	up(3)
	if err := os.WriteFile(config, []byte("services: wrong\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 * size / 100 { // each is a line of the log, of more than 50 bytes
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := p.api.Reload(ctx)
		cancel()
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a reload with a wrong config: %v", err)
		}
	}
	w.web[0].Kill()
	up(2)
	w.mustAnswer(10, natVIP4)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// What was lost stays told when the interface is served anew, and when it has been away: no
// counter goes back.
func TestFieldLossesAreRemembered(t *testing.T) {
	w := newWorld(t)
	p := w.servePorts(false)
	c := w.openCable(w.lab.Clients[0])
	signal := func(s syscall.Signal) {
		if err := p.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	for range 10_000 { // more than there are frames, and nobody takes them
		c.send(packettest.Echo(lab.ClientAddr(0).String(), natVIP4.String(), 7))
	}
	signal(syscall.SIGCONT)
	dropped, steered := uint64(0), uint64(0)
	p.await("tell of losses", func(api.Status) bool {
		dropped, steered = p.counter("kernel", "rx-dropped"), p.counter("steering", "steered-icmp")
		return dropped+p.counter("packets", "received") >= steered // what was lost on the way here is nobody's
	})
	if dropped == 0 {
		t.Fatal("nothing was lost")
	}
	told := func(when string) {
		t.Helper()
		if d, s := p.counter("kernel", "rx-dropped"), p.counter("steering", "steered-icmp"); d < dropped || s < steered {
			t.Errorf("%s: %d dropped and %d steered, and before %d and %d", when, d, s, dropped, steered)
		}
	}
	w.setMTUs(3000)
	p.awaitLines(1, "WARN.*serving anew")
	p.awaitLines(2, `INFO.*serving.*"queue": 0`)
	told("served anew")
	w.unplug()
	p.await("wait", func(s api.Status) bool { return s.State == "waiting" })
	told("while it is away")
	if err := w.lab.PlugBalancer(queues); err != nil {
		t.Fatal(err)
	}
	p.await("serve again", func(s api.Status) bool { return s.State == "serving" })
	told("when it is back")
	p.stop()
}
