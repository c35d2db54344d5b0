package doctor

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/announce"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/nic"
)

// well returns the facts of a machine on which nothing is wrong: one service with one backend.
func well() *Facts {
	b := netip.MustParseAddr("10.0.0.11")
	spec := balancer.Spec{Services: []balancer.ServiceSpec{{
		Name: "web", Address: netip.MustParseAddr("192.0.2.10"), Backends: []balancer.BackendSpec{{Name: "a", Address: b}},
	}}}
	c := config.Default()
	c.Interfaces, c.Spec = config.InterfaceList{"eth0"}, spec
	f := &Facts{Config: c, Kernel: "6.12.0"}
	f.Machine = Machine{Spec: &c.Spec, Ports: []string{"eth0"}, Routing: Routing{Forwards4: true, Forwards6: true}}
	f.Site = Site{Workers: 1, cpus: []int{0}, engine: &engine.Config{}, ports: []place{{nic: nic.State{Name: "eth0", Driver: "mlx5_core", RX: 1, TX: 1, MTU: 1500}, queues: []int{0}}}}
	f.Ways = egress.Snapshot{
		Ports: []egress.Port{{Name: "eth0", Up: true}},
		Hops:  map[netip.Addr]egress.Hop{b: {OnLink: true, Via: b, MTU: 1500}},
		Own:   map[netip.Addr]netip.Addr{b: netip.MustParseAddr("10.0.0.1")},
	}
	return f
}

// runs adds a balancer that serves, with warnings.
func runs(f *Facts, mode, bind string, warnings ...string) {
	f.Running = &api.Status{PID: 7, Ports: []api.Port{{Name: "eth0", State: api.StateServing, XDPMode: mode, Bind: bind, Queues: []int{0}}}, Workers: []api.Worker{{Queue: 0, CPU: 0}}}
	for _, code := range warnings {
		f.Running.Warnings = append(f.Running.Warnings, api.Warning{Code: code, Text: "it warns of " + code})
	}
}

// losing has a balancer receive and lose packets.
func losing(n, received uint64) func(*Facts) {
	return func(f *Facts) {
		runs(f, "native", "copy")
		f.Running.Ports[0].Received = received
		f.Lost = []api.Counter{{Group: "kernel", Name: "rx-ring-full", Value: n, Loss: true, Help: "a worker was slower than its queue"}}
	}
}

func TestChecks(t *testing.T) {
	tunnel := func(mtu int) func(*Facts) {
		return func(f *Facts) {
			s := &f.Config.Spec.Services[0]
			s.Mode = balancer.IPIP
			h := f.Ways.Hops[s.Backends[0].Address]
			h.MTU = mtu
			f.Ways.Hops[s.Backends[0].Address] = h
		}
	}
	port := func(f *Facts) *nic.State { return &f.Site.ports[0].nic }
	for name, c := range map[string]struct {
		change func(*Facts)
		w      want
	}{
		"all is well":           {func(*Facts) {}, want{}},
		"no privilege":          {func(f *Facts) { f.Privilege = errors.New("missing privilege: CAP_BPF") }, want{"privileges", Cannot, "CAP_BPF"}},
		"no AF_XDP":             {func(f *Facts) { f.Privilege = errors.New("built without AF_XDP (CONFIG_XDP_SOCKETS)") }, want{"privileges", Cannot, "boot a kernel with CONFIG_XDP_SOCKETS=y; this is 6.12.0"}},
		"locked memory":         {func(f *Facts) { f.Memory = []error{errors.New("RLIMIT_MEMLOCK is 1 MB")} }, want{"memory", Cannot, "RLIMIT_MEMLOCK is 1 MB"}},
		"no interface":          {func(f *Facts) { f.NoSite, f.Site = errors.New("eth7: no such interface"), Site{} }, want{"site", Cannot, "eth7"}},
		"refused":               {func(f *Facts) { f.Refused = errors.New("lo is a loopback") }, want{"site", Cannot, "loopback"}},
		"too few queues served": {func(f *Facts) { port(f).RX = 2 }, want{"queues", Cannot, "1 of 2 RX queues"}},
		"would be busy":         {func(f *Facts) { f.Site.engine.Busy, f.Site.Workers = true, runtime.NumCPU() }, want{"poll-busy", Warning, "poll: busy"}},
		"is busy": {func(f *Facts) {
			runs(f, "native", "copy", "poll-busy")
			f.Running.Poll, f.Running.Workers = "busy", slices.Repeat(f.Running.Workers, runtime.NumCPU())
		}, want{"poll-busy", Warning, "poll: busy"}},
		"busy, its CPUs unknown": {func(f *Facts) { runs(f, "native", "copy", "poll-busy") }, want{"poll-busy", Warning, "it warns of poll-busy"}},
		"those that are served": {func(f *Facts) {
			port(f).RX, port(f).TX = 2, 2
			runs(f, "native", "copy")
			f.Running.Ports[0].Queues = []int{0, 1}
		}, want{}},
		"no TX queue":           {func(f *Facts) { port(f).TX = 0; runs(f, "native", "copy") }, want{"tx-queues", Warning, "1 RX and 0 TX"}},
		"LRO, before the start": {func(f *Facts) { port(f).Offloads.LRO = true }, want{"lro", Cannot, "ethtool -K eth0 lro off"}},
		"LRO, and generic":      {func(f *Facts) { port(f).Offloads.LRO = true; f.Config.XDPMode = config.XDPGeneric }, want{}},
		"hardly any are lost":   {losing(1, 100_000), want{}},
		"many are lost":         {losing(20, 100_000), want{"lost", Warning, "rx-ring-full: 20 packets since the start, and 100000 were received"}},
		"all are lost":          {losing(1, 0), want{"lost", Warning, "ethtool -G eth0 rx"}},
		"LRO":                   {func(f *Facts) { port(f).Offloads.LRO = true; runs(f, "native", "copy", "lro") }, want{"lro", Cannot, "ethtool -K eth0 lro off"}},
		"GRO below, generic":    {func(f *Facts) { port(f).Merging = []string{"eth1"}; f.Config.XDPMode = config.XDPGeneric }, want{"gro", Cannot, "ethtool -K eth1 gro off"}},
		"no native program":     {func(f *Facts) { port(f).NoNative = true }, want{"xdp-mode", Warning, "the driver mlx5_core takes no native program"}},
		"none, and asked for":   {func(f *Facts) { port(f).NoNative = true; f.Config.XDPMode = config.XDPCopy }, want{"xdp-mode", Cannot, "xdp-mode: auto"}},
		"none, and no wish":     {func(f *Facts) { port(f).NoNative = true; f.Config.XDPMode = config.XDPGeneric }, want{}},
		"generic all the same":  {func(f *Facts) { runs(f, "generic", "copy", "generic") }, want{"xdp-mode", Warning, "did not take the program"}},
		"generic by a flag":     {func(f *Facts) { runs(f, "generic", "copy") }, want{}},
		"zero-copy is a must":   {func(f *Facts) { port(f).NoZeroCopy = true; f.Config.XDPMode = config.XDPZeroCopy }, want{"zero-copy", Cannot, "has none"}},
		"copy":                  {func(f *Facts) { runs(f, "native", "copy"); f.Running.Ports[0].WhyCopy = "an MTU of 9000" }, want{}},
		"another program":       {func(f *Facts) { f.Programs = []Program{{Interface: "eth0", Name: "cilium"}} }, want{"program", Cannot, "cilium"}},
		"a program, not known":  {func(f *Facts) { f.Programs = []Program{{Interface: "eth0", Err: errors.New("EPERM")}} }, want{"program", Warning, "EPERM"}},
		"own program":           {func(f *Facts) { f.Programs = []Program{{Interface: "eth0", Steers: true}}; runs(f, "native", "copy") }, want{}},
		"a silent balancer's":   {func(f *Facts) { f.Programs = []Program{{Interface: "eth0", Steers: true}} }, want{"leftovers", Warning, "a steering program is attached, and no balancer answers"}},
		"a dead one's address": {func(f *Facts) {
			f.Left.Addresses = []announce.Left{{Address: netip.MustParseAddr("192.0.2.10"), Device: "eth0"}}
		}, want{"leftovers", Warning, "ip address del 192.0.2.10/32 dev eth0"}},
		"no /dev/net/tun": {func(f *Facts) { f.Punt = errors.New("open /dev/net/tun: no such file") }, want{"punt", Warning, "modprobe tun"}},
		"nobody needs it": {func(f *Facts) { f.Punt = errors.New("no"); f.Config.Spec.Services[0].Mode = balancer.DSR }, want{}},
		"no carrier":      {func(f *Facts) { f.Ways.Ports[0] = egress.Port{Name: "eth0", Why: "it is down"} }, want{"link", Cannot, "ip link set eth0 up"}},
		"no way": {func(f *Facts) {
			f.Ways.Hops = map[netip.Addr]egress.Hop{netip.MustParseAddr("10.0.0.11"): {Why: "no route"}}
		}, want{"backends", Cannot, "a of web at 10.0.0.11 is unreachable: no route; ip route get 10.0.0.11 shows the way; it has to lead by eth0, or by one more that interfaces names"}},
		"foreign": {func(f *Facts) {
			f.Config.Spec.Services[0].SnatAddresses = []netip.Addr{netip.MustParseAddr("10.0.0.5")}
		}, want{"snat-address", Warning, "ip address add 10.0.0.5/32 dev eth0"}},
		"own server":            {func(f *Facts) { f.Meetings = []string{"web has ports of this machine's own servers"} }, want{"listener", Warning, "own servers"}},
		"a narrow tunnel":       {tunnel(1500), want{"tunnel-mtu", Warning, "takes 20 bytes, and leaves packets of 1480 to a"}},
		"a wide one":            {tunnel(1520), want{}},
		"no forwarding":         {func(f *Facts) { f.Routing.Forwards4 = false }, want{"forwarding", Warning, "net.ipv4.ip_forward=1"}},
		"none of IPv6":          {func(f *Facts) { f.Routing.Forwards6 = false }, want{}},
		"none, and none needed": {func(f *Facts) { f.Routing = Routing{}; f.Config.Spec.Services[0].Mode = balancer.DSR }, want{}},
		"a device that is left": {func(f *Facts) { f.Left.Devices = []string{"afxlb-punt0"} }, want{"leftovers", Warning, "ip link delete afxlb-punt0"}},
		"a device in use":       {func(f *Facts) { f.Left.Devices = []string{"afxlb-punt0"}; runs(f, "native", "copy") }, want{}},
		"a socket that is left": {func(f *Facts) { f.Left.Socket = "/run/afxlb/afxlb.sock" }, want{"leftovers", Warning, "rm /run/afxlb/afxlb.sock"}},
		"a file that is left":   {func(f *Facts) { f.Left.State = "/var/lib/afxlb/state.json.new" }, want{"leftovers", Warning, "rm /var/lib/afxlb/state.json.new"}},
		"another file":          {func(f *Facts) { f.Pending = []string{"service web changed"}; runs(f, "native", "copy") }, want{"file", Warning, "service web changed"}},
		"not said":              {func(f *Facts) { f.Unasked = errors.New("403"); runs(f, "native", "copy") }, want{"file", Warning, "403"}},
		"what only it knows":    {func(f *Facts) { runs(f, "native", "copy", "checksums") }, want{"checksums", Warning, "ethtool -K eth0 tx off"}},
		"what does not work":    {func(f *Facts) { runs(f, "native", "copy", "mtu") }, want{"mtu", Cannot, "it warns of mtu"}},
		"another version's":     {func(f *Facts) { runs(f, "native", "copy", "of-tomorrow") }, want{"of-tomorrow", Warning, unnamed}},
		"unreachable, known here": {func(f *Facts) {
			f.Ways.Hops = map[netip.Addr]egress.Hop{netip.MustParseAddr("10.0.0.11"): {Why: "no route"}}
			runs(f, "native", "copy", "unreachable")
		}, want{"backends", Cannot, "no route"}},
	} {
		f := well()
		c.change(f)
		r := f.Examine()
		mustFind(t, name, r.Findings, c.w)
		state := "ok"
		if c.w.check != "" {
			state = string(c.w.severity)
		}
		if r.State != state || len(r.Seen) == 0 {
			t.Errorf("%s: state %s, want %s; %+v", name, r.State, state, r.Seen)
		}
	}
}

// The worst finding is the state, wherever it is in the list; the groups come in their order.
func TestReport(t *testing.T) {
	f := well()
	f.Left.Socket, f.Privilege, f.Routing.Forwards4 = "/s", errors.New("CAP_BPF"), false
	r := f.Examine()
	var groups []string
	for _, one := range r.Findings {
		groups = append(groups, one.Group)
	}
	if r.State != "cannot" || !slices.Equal(groups, []string{groupMachine, groupNetwork, groupLeftovers}) {
		t.Errorf("%s, %v", r.State, groups)
	}
	if f := (&Finding{What: "a"}); f.Text() != "a" {
		t.Errorf("%q", f.Text())
	}
	if f := (&Finding{Interface: "eth0", What: "a", Why: "b", Do: "c"}); f.Text() != "eth0: a: b; c" {
		t.Errorf("%q", f.Text())
	}
}

// What a running balancer warns of has advice, whatever the warning.
func TestAdviceForAllWarnings(t *testing.T) {
	files, err := filepath.Glob("../report/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	n := 0
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:add\("([a-z-]+)", (?:time\.|since|[vp]\.[\w.]*Since)|\{control\.\w+, "([a-z-]+)")`).FindAllSubmatch(text, -1) {
			n++
			if code := string(m[1]) + string(m[2]); advice[code].do == "" {
				t.Errorf("%s: a warning %s, for which there is no advice", path, code)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d warnings were found in the sources", n)
	}
	for _, bound := range []bpf.AttachMode{bpf.Native, bpf.Generic} { // the findings of interfaces come as warnings, too
		s := Served{Queues: []int{0}, Detours: []int{0}, Unpinned: []int{0}, MaxMTU: 1, Mode: bound}
		for _, f := range OfInterface(&nic.State{Name: "eth0", RX: 2, MTU: 1500, Merging: []string{"a"}, VLANs: true, Offloads: nic.Offloads{VLAN: true, LRO: true, GROHardware: true}}, &s) {
			mustAdvise(t, &f)
			if advice[f.Check].do == "" || advice[f.Check].cannot != (f.Severity == Cannot) {
				t.Errorf("%s: %+v", f.Check, advice[f.Check])
			}
		}
	}
}
