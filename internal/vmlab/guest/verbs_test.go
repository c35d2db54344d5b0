package main

import (
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// TestVerbs: each does in a namespace what it does in a guest.
func TestVerbs(t *testing.T) {
	testutil.RequireRoot(t)
	a, err := lab.NewHost("a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := lab.NewHost("b")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := lab.Connect(a, "eth0", b, "eth0", 2); err != nil {
		t.Fatal(err)
	}
	link := func(name string) *netlink.LinkAttrs {
		t.Helper()
		l, err := a.Netlink().LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs()
	}
	do := func(args ...string) {
		t.Helper()
		if err := a.Do(func() error { return verb(args) }); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	do("down", "eth0")
	if link("eth0").Flags&net.FlagUp != 0 {
		t.Error("down: it is up")
	}
	do("name", link("eth0").HardwareAddr.String(), "lb0")
	do("up", "lb0")
	if link("lb0").Flags&net.FlagUp == 0 {
		t.Error("up: it is down")
	}
	do("mtu", "lb0", "1400")
	if got := link("lb0").MTU; got != 1400 {
		t.Errorf("mtu: %d", got)
	}
	do("addr", "lb0", "10.9.0.1/24", "2001:db8:9::1/64")
	list, err := a.Netlink().AddrList(&netlink.Dummy{LinkAttrs: *link("lb0")}, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, l := range list {
		found = append(found, l.IPNet.String())
	}
	if text := strings.Join(found, " "); !strings.Contains(text, "10.9.0.1/24") || !strings.Contains(text, "2001:db8:9::1/64") {
		t.Errorf("addr: %s", text)
	}
	do("channels", "lb0", "1")
	do("channels", "lb0")
	do("driver", "lb0")
	do("stats", "lb0")
	do("cat", "/proc/net/dev")
	do("sysctl", "net.ipv4.conf.all.rp_filter", "0")
}

func TestVerbsThatFail(t *testing.T) {
	for _, args := range [][]string{
		nil, {"up"}, {"fly", "lb0"}, {"up", "no-such-link"}, {"name", "02:00:00:00:00:99", "lb0"},
		{"mtu", "lo", "much"}, {"addr", "lo", "10.9.0.1"}, {"cat", "/no/such/file"}, {"vlan", "v", "lo", "five"}, {"mtu", "lo"},
	} {
		if err := verb(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
