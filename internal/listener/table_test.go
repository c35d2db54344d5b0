package listener

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// What the kernel's tables look like on a little-endian machine; there is no balancer on
// others (bpf/gen.go).
const tcp4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1076 1 00000000eb5f40b6 100 0 0 10 0
   1: 0100000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1077 1 00000000eb5f40b6 100 0 0 10 0
   2: 0100000A:9C40 0B00000A:0035 01 00000000:00000000 02:00000000 00000000     0        0 1078 1 00000000eb5f40b6 100 0 0 10 0
   3: 0100000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1079 1 00000000eb5f40b6 100 0 0 10 0
`

const udp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  12: B80D0120000010000000000001000000:9C40 B80D0120000010000000000011000000:0035 01 00000000:00000000 00:00000000 00000000     0        0 2078 2 00000000eb5f40b6 0
  13: B80D0120000010000000000001000000:007B 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2079 2 00000000eb5f40b6 0
  14: 0000000000000000FFFF00000100000A:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2080 2 00000000eb5f40b6 0
`

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text, state string
		protocol          balancer.Protocol
		first             bool
		want              []Listener
	}{
		{"tcp, up to the first connection", tcp4, "0A", balancer.TCP, true,
			[]Listener{{balancer.TCP, at("0.0.0.0:22"), 1076}, {balancer.TCP, at("10.0.0.1:8080"), 1077}}},
		{"udp, those that are not connected", udp6, "07", balancer.UDP, false,
			[]Listener{{balancer.UDP, at("[2001:db8:10::1]:123"), 2079}, {balancer.UDP, at("10.0.0.1:53"), 2080}}},
		{"none", strings.SplitAfter(tcp4, "\n")[0], "0A", balancer.TCP, true, nil},
		{"empty", "", "0A", balancer.TCP, true, nil},
	} {
		got, err := read(nil, strings.NewReader(c.text), c.protocol, c.state, c.first)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	line := strings.SplitAfter(tcp4, "\n")[1]
	for _, bad := range []string{
		"0: 00000000:0016 0A", strings.Replace(line, "00000000:0016", "0000000:0016", 1), strings.Replace(line, "00000000:0016", "00000000", 1),
		strings.Replace(line, ":0016", ":10016", 1), strings.Replace(line, "00000000:0016", "0000000000000000:0016", 1), strings.Replace(line, "1076", "inode", 1),
	} {
		if got, err := read(nil, strings.NewReader("heading\n"+bad), balancer.TCP, "0A", true); err == nil {
			t.Errorf("%q: %v, and no error", bad, got)
		}
	}
}

// What the kernel says of real sockets.
func TestAll(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := lab.NewHost("own")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.AddAddrs("lo", netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("2001:db8::1/128")); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, a := range []string{"0.0.0.0:22", "[::]:80", "10.0.0.1:8080", "[2001:db8::1]:8443"} {
		l, err := h.Listen("tcp"+family(a), a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		u, err := h.ListenPacket("udp"+family(a), a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		want["tcp "+a], want["udp "+a] = true, true
	}
	for _, network := range []string{"tcp", "udp"} { // no listeners
		c, err := h.Dial(t.Context(), network, "10.0.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	var all []Listener
	if err := h.Do(func() (err error) { all, err = All(); return err }); err != nil {
		t.Fatal(err)
	}
	inodes := map[uint64]bool{}
	for _, l := range all {
		name := fmt.Sprint(l.Protocol, " ", l.At)
		if !want[name] {
			t.Errorf("%s is no listener", name)
		}
		delete(want, name)
		inodes[l.inode] = true
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for inode, name := range owners("/proc", inodes) {
		if name != strings.TrimSpace(string(comm)) {
			t.Errorf("socket %d is said to be of %q", inode, name)
		}
		delete(inodes, inode)
	}
	if len(inodes) > 0 {
		t.Errorf("nobody has %v", inodes)
	}
}

func family(a string) string {
	if at(a).Addr().Is4() {
		return "4"
	}
	return "6"
}

// A listener is nobody's whose process can't be seen.
func TestOwnersUnknown(t *testing.T) {
	if names := owners(t.TempDir(), map[uint64]bool{1: true}); len(names) != 0 {
		t.Errorf("%v", names)
	}
	if names := owners("/no/such/folder", map[uint64]bool{1: true}); len(names) != 0 {
		t.Errorf("%v", names)
	}
}
