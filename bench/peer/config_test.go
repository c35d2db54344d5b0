package peer

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/internal/config"
)

func two() []Service {
	at := netip.MustParseAddrPort
	return []Service{
		{Protocol: "tcp", Address: at("192.0.2.10:80"), Backends: []netip.AddrPort{at("10.0.0.11:8080"), at("10.0.0.12:8080")}},
		{Protocol: "udp", Address: at("[2001:db8:2::10]:53"), Backends: []netip.AddrPort{at("[2001:db8:10::11]:53")}},
	}
}

func TestRuleset(t *testing.T) {
	want := `table inet afxlb_bench {
	chain services {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 192.0.2.10 tcp dport 80 dnat ip to numgen inc mod 2 map { 0 : 10.0.0.11 . 8080, 1 : 10.0.0.12 . 8080 }
		ip6 daddr 2001:db8:2::10 udp dport 53 dnat ip6 to numgen inc mod 1 map { 0 : 2001:db8:10::11 . 53 }
	}
	chain quiet {
		type filter hook output priority filter; policy accept;
		icmpv6 type nd-redirect drop
	}
}
`
	if d := cmp.Diff(want, DNAT{Services: two()}.Config()); d != "" {
		t.Error(d)
	}
}

func TestHAProxyConfig(t *testing.T) {
	want := `global
    # As many threads as it gets CPUs, each on its own; more would take turns.
    nbthread 2
    cpu-map auto:1/1-2 0 3
    # No log, no statistics, no checks: nothing but what is measured. As many
    # connections as it may open files, which it finds out by itself.
defaults
    mode tcp
    balance roundrobin
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    # An ACK less on each side: it goes with the data that follows.
    option tcp-smart-accept
    option tcp-smart-connect
listen s0
    bind 192.0.2.10:80 backlog 65535
    server b0 10.0.0.11:8080
    server b1 10.0.0.12:8080
`
	if d := cmp.Diff(want, TCPProxy{Services: two()[:1], CPUs: []int{0, 3}}.Config()); d != "" {
		t.Error(d)
	}
}

// The daemon reads what is written for it, and sees the services that were meant.
func TestAfxlbConfig(t *testing.T) {
	services := two()
	services[1].DSR = true
	path := filepath.Join(t.TempDir(), "afxlb.yaml")
	if err := os.WriteFile(path, []byte(AfxlbConfig(services)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Spec.Services) != 2 {
		t.Fatalf("%d services", len(c.Spec.Services))
	}
	for i, s := range c.Spec.Services {
		want := services[i]
		if s.Address != want.Address.Addr() || s.Protocol.String() != want.Protocol || s.Mode.String() != map[bool]string{false: "nat", true: "dsr"}[want.DSR] || len(s.Backends) != len(want.Backends) {
			t.Errorf("service %d is %+v, want %+v", i, s, want)
		}
		for j, b := range s.Backends {
			if b.Address != want.Backends[j].Addr() {
				t.Errorf("backend %d of service %d is %+v, want %v", j, i, b, want.Backends[j])
			}
		}
	}
}

func TestMasks(t *testing.T) {
	for _, c := range []struct {
		cpus []int
		want string
	}{{[]int{0}, "1"}, {[]int{1}, "10"}, {[]int{0, 2}, "001 100"}} {
		if got := masks(c.cpus); got != c.want {
			t.Errorf("masks of %v: %q, want %q", c.cpus, got, c.want)
		}
	}
}
