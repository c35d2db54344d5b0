package listener

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func service(address string, p balancer.Protocol, first, last uint16) *balancer.ServiceSpec {
	return &balancer.ServiceSpec{Name: "web", Address: netip.MustParseAddr(address), Protocol: p, First: first, Last: last}
}

func TestMeets(t *testing.T) {
	all := []Listener{
		{balancer.TCP, at("10.0.0.1:8080"), 1}, {balancer.TCP, at("10.0.0.2:81"), 2}, {balancer.TCP, at("0.0.0.0:22"), 3}, {balancer.TCP, at("[::]:22"), 4},
		{balancer.TCP, at("[::]:23"), 5}, {balancer.TCP, at("[2001:db8::1]:24"), 6}, {balancer.TCP, at("127.0.0.1:25"), 7},
		{balancer.UDP, at("0.0.0.0:53"), 8}, {balancer.UDP, at("10.0.0.1:40000"), 9},
	}
	for _, c := range []struct {
		name string
		s    *balancer.ServiceSpec
		want []uint64
	}{
		{"any port", service("10.0.0.1", balancer.TCP, 0, 65535), []uint64{3, 5, 1}},
		{"any port of IPv6", service("2001:db8::1", balancer.TCP, 0, 65535), []uint64{4, 5, 6}},
		{"a range", service("10.0.0.1", balancer.TCP, 23, 8079), []uint64{5}},
		{"a port", service("10.0.0.1", balancer.TCP, 8080, 8080), []uint64{1}},
		{"another port", service("10.0.0.1", balancer.TCP, 8081, 8081), nil},
		{"another protocol", service("10.0.0.1", balancer.UDP, 8080, 8080), nil},
		{"udp, no queries", service("10.0.0.1", balancer.UDP, 0, 65535), []uint64{8}},
		{"udp, just that port", service("10.0.0.1", balancer.UDP, 40000, 40000), []uint64{9}},
	} {
		var got []uint64
		for _, l := range meets(all, c.s) {
			got = append(got, l.inode)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTell(t *testing.T) {
	var many []Listener
	for port := range uint16(7) {
		many = append(many, Listener{balancer.TCP, netip.AddrPortFrom(netip.IPv4Unspecified(), 20+port), uint64(port)})
	}
	got := tell(service("10.0.0.1", balancer.TCP, 0, 65535), many, map[uint64]string{2: "sshd"})
	want := "web at 10.0.0.1:any/tcp, this machine's own address, has ports of this machine's own servers: " +
		"20, 21, 22 (sshd), 23, 24, and 2 more; who comes by the served interface reaches the service, not them"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := tell(service("10.0.0.1", balancer.UDP, 1, 99), many[:1], nil); !strings.HasSuffix(got, "20; what is sent to these ports reaches them, not the service") {
		t.Errorf("%q", got)
	}
}

// Only a service on an own address meets anybody.
func TestMeetings(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := lab.NewHost("own")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.AddAddrs("lo", netip.MustParsePrefix("10.0.0.1/32")); err != nil {
		t.Fatal(err)
	}
	l, err := h.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for address, want := range map[string]int{"10.0.0.1": 1, "10.0.0.2": 0} {
		var lines []string
		spec := &balancer.Spec{Services: []balancer.ServiceSpec{*service(address, balancer.TCP, 8000, 8099), *service(address, balancer.TCP, 80, 80)}}
		if err := h.Do(func() (err error) { lines, err = Meetings(spec); return err }); err != nil || len(lines) != want {
			t.Errorf("%s: %q, %v; want %d", address, lines, err, want)
		}
	}
}
