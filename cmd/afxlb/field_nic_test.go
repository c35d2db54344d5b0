package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// unplug removes the balancer's interface.
func (w *world) unplug() {
	w.t.Helper()
	nl := w.lab.Balancer.Netlink()
	link, err := nl.LinkByName(lab.Interface)
	if err == nil {
		err = nl.LinkDel(link)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// plug gives the balancer an interface with so many queues, of which it uses fewer, in
// place of the one that it has.
func (w *world) plug(most, rx, tx int) {
	w.t.Helper()
	w.unplug()
	if err := w.lab.PlugBalancer(most); err != nil {
		w.t.Fatal(err)
	}
	w.setQueues(rx, tx)
}

func (w *world) setQueues(rx, tx int) {
	w.t.Helper()
	if err := w.lab.SetQueues(rx, tx); err != nil {
		w.t.Fatal(err)
	}
}

// queuesServed waits until all of n queues are served.
func (p *process) queuesServed(n int) {
	p.t.Helper()
	p.await(fmt.Sprintf("serve %d queues", n), func(s api.Status) bool {
		return s.State == "serving" && len(s.Workers) == n && s.Backends.Up == s.Backends.Total
	})
}

// usesQueues sends requests until each queue has got some.
func (p *process) usesQueues(w *world, vip netip.Addr, n int) {
	p.t.Helper()
	p.await(fmt.Sprintf("receive by %d queues", n), func(s api.Status) bool {
		w.mustAnswer(4, vip)
		return len(s.Workers) == n && !slices.ContainsFunc(s.Workers, func(k api.Worker) bool { return k.Forwarded == 0 })
	})
}

// C10: the number of queues changes while the balancer runs. With `queues: all`, all are
// served at any time, and no stream notices.
func TestFieldQueuesChange(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	own := lab.BalancerAddr() // whose packets the kernel would answer, if it got them
	for _, mode := range []string{"auto", "generic"} {
		w.plug(4, 2, 2)
		p := w.serve(w.writeConfig("afxlb.yaml", streamService("streams", natVIP4, "nat", quickHealth),
			service("own", own, "nat", "tcp", quickHealth), service("web", natVIP4, "nat", "tcp", quickHealth)), "--xdp-mode", mode)
		s := w.openStreams(10, natVIP4)
		for _, n := range []int{3, 4} {
			w.setQueues(n, n)
			p.queuesServed(n)
			p.awaitLines(1, fmt.Sprintf("the interface has got queues.*it has %d RX", n))
			s.mustLive(fmt.Sprint(mode, ": with ", n, " queues"))
			if text := warned(p.status(), "cpus"); (text != "") != (n > runtime.NumCPU()) {
				t.Errorf("%d queues on %d CPUs: %q", n, runtime.NumCPU(), text)
			}
			w.mustAnswer(30, own)
			w.mustAnswer(30, natVIP4)
		}
		if mode == "auto" { // a generic program gets all packets of a veth by its first queue
			p.usesQueues(w, natVIP4, 4)
		}
		if in := p.status(); in.Workers[3].Frames.Total == 0 || warned(in, "queues") != "" {
			t.Errorf("%s: %+v, %v", mode, in.Workers[3], in.Warnings)
		}
		s.close()
		p.checkSums()
		p.stop()
	}
}

// C10, a fixed list: what comes by other queues is lost, and that is said, with how much
// it is, in the state, the log and the counters.
func TestFieldQueuesOfAList(t *testing.T) {
	w := newWorld(t)
	w.plug(4, 2, 2)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--queues", "0,1")
	w.mustAnswer(20, natVIP4)
	w.setQueues(4, 4)
	s := p.await("tell of the loss", func(s api.Status) bool { return s.State == "degraded" })
	for _, text := range []string{s.Reason, warned(s, "queues")} {
		if !strings.Contains(text, "2 of 4 RX queues are not served (2, 3)") || !strings.Contains(text, "50%") {
			t.Errorf("the status says %q", text)
		}
	}
	p.awaitLines(1, "WARN.*2 of 4 RX queues are not served")
	k := w.knock(natVIP4, port)
	p.await("count what is lost", func(api.Status) bool { return p.counter("steering", "dropped-no-socket") > 0 })
	k.end()
	w.setQueues(2, 2)
	p.await("see the end of it", func(s api.Status) bool { return s.State == "serving" && warned(s, "queues") == "" })
	p.awaitLines(1, "WARN.*over: .*RX queues are not served")
	w.mustAnswer(20, natVIP4)
	p.stop()

	// From the start; and where RSS is not told, the share is of the queues.
	p = w.start(nil, "--config", w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)), "--queues", "1")
	s = p.await("serve half of it", func(s api.Status) bool { return s.State == "degraded" })
	if text := warned(s, "queues"); !strings.Contains(text, "1 of 2 RX queues are not served (0)") || !strings.Contains(text, "50%") {
		t.Errorf("the status says %q", text)
	}
	p.awaitLines(1, "WARN.*1 of 2 RX queues are not served")
	p.stop()
	list := w.writeConfig("list.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), "queues: 0\n")
	_ = w.lab.Balancer.Do(func() error {
		if code, _, stderr := cli("check", "--here", list); code != exitMachine || !strings.Contains(stderr, "1 of 2 RX queues are not served (1)") {
			t.Errorf("check --here: exit code %d, %q", code, stderr)
		}
		return nil
	})
}

// C10: where new queues can't be served, since there is no memory for them, that is said
// and tried again; those of before go on.
func TestFieldQueuesWithoutMemory(t *testing.T) {
	w := newWorld(t)
	w.plug(12, 1, 1)
	group := newMemoryGroup(t, 200<<20)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), "conntrack: {max-flows: 100000}\n")
	p := w.startBy("echo $$ > "+filepath.Join(group, "cgroup.procs"), "--config", config)
	p.queuesServed(1)
	w.setQueues(12, 12)
	s := p.await("tell of the loss", func(s api.Status) bool { return s.State == "degraded" })
	if text := warned(s, "queues"); !strings.Contains(text, "11 of 12 RX queues are not served") || !strings.Contains(text, "the memory limit of") {
		t.Errorf("the status says %q", text)
	}
	p.awaitLines(1, "WARN.*11 of 12 RX queues are not served.*the memory limit of")
	raiseMemoryLimit(t, group, 600<<20)
	p.queuesServed(12)
	p.usesQueues(w, natVIP4, 12)

	// The interface is made again with more than there is memory for: it is not served, and
	// the kernel kills nobody.
	w.plug(40, 40, 40)
	s = p.await("say why it waits", func(s api.Status) bool { return strings.Contains(s.Reason, "the memory limit of") })
	if s.State != "waiting" {
		t.Errorf("state %s (%s)", s.State, s.Reason)
	}
	p.awaitLines(1, "WARN.*the interface can't be served; trying again.*the memory limit of")
	w.plug(2, 2, 2)
	p.queuesServed(2)
	p.stop()
}

// raiseMemoryLimit sets another limit on a group of newMemoryGroup.
func raiseMemoryLimit(t *testing.T, group string, limit int) {
	t.Helper()
	for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
		path := filepath.Join(group, file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(limit)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// C10, third part: the interface is made again with more queues, and with fewer. Flows
// and counters stay.
func TestFieldInterfaceAgainWithOtherQueues(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("streams", natVIP4, "nat", quickHealth), service("web", natVIP4, "nat", "tcp", quickHealth)))
	s := w.openStreams(10, natVIP4)
	received := uint64(0)
	for _, n := range []int{4, 1, 3} {
		w.plug(n, n, n)
		p.queuesServed(n)
		s.mustLive(fmt.Sprint("with ", n, " queues"))
		w.mustAnswer(40, natVIP4)
		p.usesQueues(w, natVIP4, n)
		now := p.counter("packets", "received")
		if now <= received {
			t.Errorf("with %d queues %d packets were received, %d before", n, now, received)
		}
		received = now
	}
	if flows := p.status().Flows.ByClass["tcp-established"]; flows < 10 {
		t.Errorf("%d flows are established", flows)
	}
	s.close()
	p.checkSums()
	p.stop()
}

// C11, at run time: TX queues that come are sent by.
func TestFieldTXQueuesCome(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	w.plug(3, 3, 1)
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("streams", natVIP4, "nat", quickHealth), service("web", natVIP4, "nat", "tcp", quickHealth)))
	s := w.openStreams(10, natVIP4)
	w.setQueues(3, 3)
	p.await("send by all queues", func(s api.Status) bool {
		return s.State == "serving" && warned(s, "tx-queues") == "" && len(s.Workers) == 3 && !s.Workers[1].Detour && !s.Workers[2].Detour
	})
	p.awaitLines(1, "WARN.*serving anew.*eth0 sends by 3 queues now")
	p.awaitLines(1, "WARN.*over: eth0: there are 3 RX and 1 TX queues")
	s.mustLive("with as many TX queues")
	p.usesQueues(w, natVIP4, 3)
	s.close()
	p.checkSums()
	p.stop()
}

// C11: there are fewer TX than RX queues. What comes by a queue that has none leaves all
// the same, and nothing counts as forwarded that did not.
func TestFieldFewerTXQueues(t *testing.T) {
	w := newWorld(t)
	w.plug(3, 3, 1)
	_ = w.lab.Balancer.Do(func() error {
		code, _, stderr := cli("check", "--here", w.writeConfig("here.yaml", service("web", natVIP4, "nat", "tcp", "")))
		if code != exitDone || !strings.Contains(stderr, "warning: eth0: there are 3 RX and 1 TX queues: what comes by queue 1, 2 is sent") {
			t.Errorf("check --here: exit code %d, %q", code, stderr)
		}
		return nil
	})
	for _, mode := range []string{"auto", "generic"} {
		for _, driver := range []string{"native", "asavie"} {
			name := mode + ", " + driver
			p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth),
				service("direct", dsrVIP4, "dsr", "tcp", quickHealth)), "--xdp-mode", mode, "--driver", driver)
			if mode == "auto" {
				p.usesQueues(w, natVIP4, 3)
			}
			w.mustAnswer(40, natVIP4)
			w.mustAnswer(40, dsrVIP4)
			s := p.status()
			if text := warned(s, "tx-queues"); s.State != "serving" || !strings.Contains(text, "3 RX and 1 TX queues: what comes by queue 1, 2") {
				t.Errorf("%s: %s, %q", name, s.State, text)
			}
			p.awaitLines(1, "WARN.*3 RX and 1 TX queues")
			for i, k := range s.Workers {
				if k.Detour != (i > 0) {
					t.Errorf("%s: queue %d: detour %v", name, i, k.Detour)
				}
			}
			p.checkSums()
			if s := p.status(); len(s.Drops) != 0 {
				t.Errorf("%s: drops %v", name, s.Drops)
			}
			p.stop()
		}
	}
}
