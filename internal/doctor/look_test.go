package doctor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"

	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestReadInterrupts(t *testing.T) {
	const table = `           CPU0       CPU1
  1:          9          0   IO-APIC   1-edge      i8042
 37:          0          0 PCI-MSIX-0000:00:03.0   0-edge      virtio2-config
 38:          0      38854 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:      33792          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          0          0 PCI-MSIX-0000:00:03.0   3-edge      virtio2-input.1
 50:          0          0 PCI-MSIX-0000:03:00.0   3-edge      mlx5_async0@pci:0000:03:00.0
 51:          0          0 PCI-MSIX-0000:03:00.0   3-edge      mlx5_comp3@pci:0000:03:00.0
 52:          0          0 PCI-MSIX-0000:03:00.0   3-edge      eth0-TxRx-12
 53:          0          0 PCI-MSIX-0000:03:00.0   3-edge      i40e-eth0-TxRx-2
 54:          0          0 PCI-MSIX-0000:03:00.0   3-edge      ena-mgmnt@pci:0000:00:05.0
 60:          0          0 PCI-MSIX-0000:03:00.0   3-edge      eth1-TxRx-0
NMI:          0          0   Non-maskable interrupts
`
	var got [][2]int
	for _, i := range readInterrupts(strings.NewReader(table), []int{37, 38, 39, 40, 50, 51, 52, 53, 54}) {
		got = append(got, [2]int{i.Number, i.Queue})
	}
	if want := [][2]int{{38, 0}, {40, 1}, {53, 2}, {51, 3}, {52, 12}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string][]int{
		"0-3,8": {0, 1, 2, 3, 8}, "5": {5}, "": nil, "x": nil, "1-x": nil, "3-1": nil, "0-99999999": nil,
	} {
		if got := parseCPUs(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	dir := t.TempDir()
	for node, list := range map[string]string{"node0": "0-1\n", "node1": "2,3\n", "node": "9\n"} {
		if err := os.Mkdir(filepath.Join(dir, node), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, node, "cpulist"), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := nodesOfCPUs(dir); !reflect.DeepEqual(got, map[int]int{0: 0, 1: 0, 2: 1, 3: 1}) {
		t.Errorf("%v", got)
	}
}

func TestCounted(t *testing.T) {
	const text = "TcpExt: SyncookiesSent IPReversePathFilter Last\nTcpExt: 1 42 3\nIpExt: IPReversePathFilter\nIpExt: 9\n"
	for want, c := range map[uint64][3]string{
		42: {text, "TcpExt:", "IPReversePathFilter"}, 9: {text, "IpExt:", "IPReversePathFilter"},
		0: {"TcpExt: IPReversePathFilter\nTcpExt:\n", "TcpExt:", "IPReversePathFilter"},
	} {
		if got := counted(c[0], c[1], c[2]); got != want {
			t.Errorf("%q: %d, want %d", c, got, want)
		}
	}
}

func TestReadNeighbourTable(t *testing.T) {
	u32 := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	message := func(name string, attrs ...*nl.RtAttr) []byte {
		b := append(make([]byte, 4), nl.NewRtAttr(ndtaName, append([]byte(name), 0)).Serialize()...)
		for _, a := range attrs {
			b = append(b, a.Serialize()...)
		}
		return b
	}
	config := nl.NewRtAttr(ndtaConfig, append([]byte{4, 0, 0, 1}, append(u32(77), make([]byte, 24)...)...))
	soft, hard := nl.NewRtAttr(ndtaThresh2, u32(512)), nl.NewRtAttr(ndtaThresh3, u32(1024))
	var n Neighbours
	for _, m := range [][]byte{
		message("arp_cache", soft, hard, config), message("ndisc_cache", soft, nl.NewRtAttr(ndtaThresh3, u32(2048))),
		message("arp_cache", config), message("other", soft, hard), nil, {1}, make([]byte, 7), message("arp_cache", nl.NewRtAttr(ndtaThresh3, []byte{1})),
	} {
		readNeighbourTable(&n, m)
	}
	if want := (Neighbours{Entries4: 77, Soft4: 512, Hard4: 1024, Soft6: 512, Hard6: 2048}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
}

// What the kernel says of a namespace.
func TestLookAtMachine(t *testing.T) {
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "0", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/" + lab.Interface + "/rp_filter": "1",
	} {
		if err := l.Balancer.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	var m Machine
	if err := l.Balancer.Do(func() (err error) {
		m, err = LookAtMachine(specOf(1, "192.0.2.10"), []string{lab.Interface}, []int{0, 1})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if r := m.Routing; !r.Forwards4 || r.Forwards6 || !slices.Equal(r.Strict, []string{lab.Interface}) {
		t.Errorf("routing: %+v", r)
	}
	if n := m.Neighbours; n.Hard4 == 0 || n.Hard6 == 0 || n.Soft4 == 0 {
		t.Errorf("neighbours: %+v", n)
	}
	if !m.onLink(lab.BackendAddr(7)) || !m.local(lab.BalancerAddr()) || m.local(lab.BackendAddr(7)) || m.onLink(netip.MustParseAddr("192.0.2.10")) {
		t.Errorf("own addresses: %v", m.Own)
	}
	if len(m.NICs) != 1 || len(m.NICs[0].Interrupts) > 0 {
		t.Errorf("a veth with interrupts: %+v", m.NICs)
	}
	if m.Firewall.Err != nil || len(m.Firewall.Rules) > 0 {
		t.Errorf("firewall: %+v", m.Firewall)
	}
}

func TestLookForLeftovers(t *testing.T) {
	dir := t.TempDir()
	socket, state := filepath.Join(dir, "s"), filepath.Join(dir, "state.json")
	look := func() Leftovers {
		l, err := lookForLeftovers(socket, state)
		if err != nil {
			t.Fatal(err)
		}
		l.Devices = nil // those of whoever else is here
		return l
	}
	none := Leftovers{}
	if got := look(); !reflect.DeepEqual(got, none) {
		t.Errorf("nothing: %+v", got)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if got := look(); !reflect.DeepEqual(got, none) {
		t.Errorf("somebody listens: %+v", got)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.WriteFile(state+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := look(), (Leftovers{Socket: socket, State: state + ".new"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	state = "none"
	if got := look(); got.State != "" {
		t.Errorf("no state is kept: %+v", got)
	}
}

// Without any config or service, the machine is looked at all the same.
func TestLookWithoutConfig(t *testing.T) {
	f, err := Look(&Options{Config: config.Default(), Socket: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	r := f.Examine()
	if i := slices.IndexFunc(r.Findings, func(one Finding) bool { return one.Check == "site" && one.Severity == Cannot }); i < 0 {
		t.Errorf("no interface is named, and nothing is said: %+v", r.Findings)
	}
	for i := range r.Findings {
		mustAdvise(t, &r.Findings[i])
	}
}
