package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// The pair of these tests: asker (10.0.0.1) ─ holder (10.0.0.2), which may hold the
// services' addresses.
var (
	service4 = netip.MustParseAddr("192.0.2.10")
	service6 = netip.MustParseAddr("2001:db8:2::10")
)

const servicePort, closedPort = 8080, 9

// pair is an asker with a prober, and a holder.
type pair struct {
	t             *testing.T
	asker, holder *lab.Host
	prober        *Prober
	hop           Hop
	hops          func() (Hop, error) // what the link says
	accepted      atomic.Int32        // connections at the holder
}

func newPair(t *testing.T) *pair {
	testutil.RequireRoot(t)
	p := &pair{t: t, asker: newHost(t, "asker"), holder: newHost(t, "holder")}
	must(t, lab.Connect(p.asker, "eth0", p.holder, "eth0", 1))
	addAddrs(t, p.asker, askerAddr+"/24", askerAddr6+"/64")
	addAddrs(t, p.holder, routerAddr+"/24", routerAddr6+"/64")
	p.hop = hopTo(t, p.asker, p.holder)
	p.hops = func() (Hop, error) { return p.hop, nil }
	p.prober = New(zap.NewNop(), func(Result) {}, WithLink(p))
	t.Cleanup(p.prober.Close)
	must(t, p.holder.ServeTCP(fmt.Sprint(":", servicePort), func(net.Conn) { p.accepted.Add(1) }))
	return p
}

// hopTo returns the way from one end of a cable to the other.
func hopTo(t *testing.T, from, to *lab.Host) Hop {
	t.Helper()
	here, err := from.Netlink().LinkByName("eth0")
	must(t, err)
	there, err := to.Netlink().LinkByName("eth0")
	must(t, err)
	return Hop{Ifindex: here.Attrs().Index, MAC: [6]byte(there.Attrs().HardwareAddr)}
}

func (p *pair) Hop(netip.Addr, bool) (Hop, error) { return p.hops() }

func (p *pair) Taken(netip.AddrPort) bool { return false }

// hold gives a host the services' addresses.
func (p *pair) hold(h *lab.Host) {
	p.t.Helper()
	must(p.t, h.AddAddrs("lo", netip.PrefixFrom(service4, 32), netip.PrefixFrom(service6, 128)))
}

// ask asks once; a machine that is too busy to notice the timeout is asked again.
func (p *pair) ask(t Target) Result {
	p.t.Helper()
	for {
		var r Result
		must(p.t, p.asker.Do(func() error {
			r, _ = p.prober.probe(p.t.Context(), t)
			return nil
		}))
		if r.Err == nil || !busy(r.Took, t.Timeout) {
			return r
		}
	}
}

// held is the question for the service's address of one family.
func held(ipv4 bool, port uint16, timeout time.Duration) Target {
	t := Target{
		Address: netip.AddrPortFrom(service6, port), Holder: netip.MustParseAddr(routerAddr6),
		Type: balancer.HealthTCP, Timeout: timeout, Interval: time.Hour,
	}
	if ipv4 {
		t.Address, t.Holder = netip.AddrPortFrom(service4, port), netip.MustParseAddr(routerAddr)
	}
	return t
}

// awaitNoRequest waits until the holder's kernel has no connection half open.
func (p *pair) awaitNoRequest() {
	p.t.Helper()
	const synRecv = " 03 " // TCP_SYN_RECV in the fourth column
	deadline := time.Now().Add(20 * time.Second)
	for {
		var text string
		must(p.t, p.holder.Do(func() error {
			for _, name := range []string{"tcp", "tcp6"} {
				b, err := os.ReadFile("/proc/thread-self/net/" + name)
				if err != nil {
					return err
				}
				text += string(b)
			}
			return nil
		}))
		if !strings.Contains(text, synRecv) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("a connection stays half open:\n%s", text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestHalfOpen(t *testing.T) {
	p := newPair(t)
	closed := func(t Target) Target { t.Closed = true; return t }
	all := func(name string, ask func(ipv4 bool) Target, want string) {
		for _, ipv4 := range []bool{true, false} {
			target := ask(ipv4)
			r := p.ask(target)
			want := strings.NewReplacer("HOLDER", target.Holder.String(), "VIP", target.Address.Addr().String(), "ADDRESS", target.Address.String()).Replace(want)
			if got := fmt.Sprint(r.Err); got != want || r.Local {
				t.Errorf("%s: %q, local %v; want %q", name, got, r.Local, want)
			}
		}
	}
	open := func(ipv4 bool) Target { return held(ipv4, servicePort, patient) }
	const silence = "no answer within 50ms: does HOLDER have VIP on lo?"
	all("not held", func(ipv4 bool) Target { return held(ipv4, servicePort, hasty) }, silence)
	all("not held, nor need it be open", func(ipv4 bool) Target { return closed(held(ipv4, closedPort, hasty)) }, silence)
	p.hold(p.holder)
	all("held", open, "<nil>")
	all("nobody listens", func(ipv4 bool) Target { return held(ipv4, closedPort, patient) },
		"connection refused: does the server of HOLDER listen on ADDRESS?")
	all("nobody need listen", func(ipv4 bool) Target { return closed(held(ipv4, closedPort, patient)) }, "<nil>")
	// The answer is a martian to the asker's kernel, which sends no RST then.
	p.hold(p.asker)
	all("held by the asker too", open, "<nil>")
	p.awaitNoRequest()
	if n := p.accepted.Load(); n != 0 {
		t.Errorf("the server got %d connections", n)
	}
}

// TestHalfOpenIsTakenBack has the answer get lost, so that nothing but the last word of
// the probe can end what the holder has begun.
func TestHalfOpenIsTakenBack(t *testing.T) {
	p := newPair(t)
	p.hold(p.holder)
	lo, err := p.holder.Netlink().LinkByName("lo")
	must(t, err)
	_, asker, err := net.ParseCIDR(askerAddr + "/32")
	must(t, err)
	must(t, p.holder.Netlink().RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: asker, Scope: netlink.SCOPE_LINK}))
	if r := p.ask(held(true, servicePort, hasty)); r.Err == nil || r.Local {
		t.Errorf("result %+v of an answer that got lost", r)
	}
	p.awaitNoRequest()
}

// TestHalfOpenRepeats: a SYN that gets lost is sent again, and one that can't be sent yet
// waits for the MAC address.
func TestHalfOpenRepeats(t *testing.T) {
	p := newPair(t)
	p.hold(p.holder)
	wrong := p.hop
	wrong.MAC = [6]byte{2, 0xde, 0xad}
	away := p.hop
	away.Ifindex = 1 << 20
	unknown := fmt.Errorf("no MAC address is known: %w", syscall.EHOSTUNREACH)
	for name, first := range map[string]func() (Hop, error){
		"lost":         func() (Hop, error) { return wrong, nil },
		"not known":    func() (Hop, error) { return Hop{}, unknown },
		"no interface": func() (Hop, error) { return away, nil },
	} {
		asked := 0
		p.hops = func() (Hop, error) {
			if asked++; asked <= 2 {
				return first()
			}
			return p.hop, nil
		}
		if r := p.ask(held(true, servicePort, 2*time.Second)); r.Err != nil || asked < 3 {
			t.Errorf("%s at first: %+v after %d SYNs", name, r, asked)
		}
		p.hops = first
		if r := p.ask(held(true, servicePort, hasty)); r.Err == nil || r.Local != (name != "lost") {
			t.Errorf("%s for ever: %+v", name, r)
		}
	}
}

// TestReach has the address held behind the backend: in a container of it, as it were,
// by another node, or by somebody whom its router knows. Only the last is another
// backend's answer.
func TestReach(t *testing.T) {
	p := newPair(t)
	last := p.holder
	for hops := range 4 {
		if hops > 0 {
			next := newHost(t, fmt.Sprint("behind", hops))
			must(t, lab.Connect(last, "eth1", next, "eth0", 1))
			lower, upper := fmt.Sprintf("10.1.%d.1", hops), fmt.Sprintf("10.1.%d.2", hops)
			must(t, last.AddAddrs("eth1", netip.PrefixFrom(netip.MustParseAddr(lower), 24)))
			must(t, next.AddAddrs("eth0", netip.PrefixFrom(netip.MustParseAddr(upper), 24)))
			must(t, last.Sysctl("net/ipv4/ip_forward", "1"))
			addRoute(t, last, service4.String()+"/32", upper, syscall.RTN_UNICAST)
			addRoute(t, next, "10.0.0.0/24", lower, syscall.RTN_UNICAST)
			last = next
		}
		must(t, last.AddAddrs("lo", netip.PrefixFrom(service4, 32)))
		target := held(true, closedPort, 500*time.Millisecond)
		target.Closed = true
		if r := p.ask(target); (r.Err == nil) != (hops < reach) || r.Local {
			t.Errorf("%d hops behind the backend: %+v", hops, r)
		}
		must(t, last.DelAddrs("lo", netip.PrefixFrom(service4, 32)))
	}
}

// TestHalfOpenWithoutMeans: what is missing here is no verdict.
func TestHalfOpenWithoutMeans(t *testing.T) {
	p := New(zap.NewNop(), func(Result) {})
	if r, _ := p.probe(t.Context(), held(true, servicePort, patient)); r.Err == nil || !r.Local {
		t.Errorf("without a link: %+v", r)
	}
	p.Close()
	asked := context.Canceled
	p = New(zap.NewNop(), func(Result) {}, WithHalfOpen(func(context.Context, Target) error { return asked }))
	if r, _ := p.probe(t.Context(), held(true, servicePort, patient)); !errors.Is(r.Err, asked) {
		t.Errorf("another way of asking: %+v", r)
	}
	p.Close()
	if r, _ := p.probe(t.Context(), target(1)); errors.Is(r.Err, asked) {
		t.Errorf("an ordinary question was asked the other way: %+v", r)
	}
}
