package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
)

// render writes a Spec as a file, with every key and in the styles that users
// mix: the slow, obvious inverse of Parse.
func render(s balancer.Spec) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("services:")
	for _, s := range s.Services {
		line("  - name: %s", s.Name)
		line("    address: %q", s.Address)
		line("    port: %s", s.Ports())
		line("    protocol: %v", s.Protocol)
		line("    mode: %v\n    algorithm: %v\n    on-no-backend: %v\n    on-down: '%v'", s.Mode, s.Algorithm, s.OnNoBackend, s.OnDown)
		if len(s.TunnelSources) > 0 {
			line("    tunnel-source: %v", s.TunnelSources)
		} else if s.Mode.Traits().Encapsulates {
			line("    tunnel-source: auto")
		}
		if s.Mode == balancer.GUE {
			line("    gue: {port: %d, variant: %d, checksum: %t}", s.GUE.Port, s.GUE.Variant, s.GUE.Checksum)
		}
		h := s.Health
		line("    drain-time: %v", s.DrainTime)
		line("    affinity: %v\n    slow-start: %v\n    min-healthy: %v", s.Affinity, s.SlowStart, s.MinHealthy)
		if (s.MinHealthy != balancer.MinHealthy{}) {
			line("    below-min-healthy: %v", s.BelowMin)
		}
		if p := s.Persistence; p.Timeout > 0 {
			line("    persistence:\n      prefix: %d/%d\n      timeout: %v", p.Prefix4, p.Prefix6, p.Timeout)
			if p.Group != "" {
				line("      group: %s", p.Group)
			}
		}
		line("    health: {type: %v, # a comment", h.Type)
		if h.Type != balancer.HealthNone {
			line("             interval: %v, timeout: %v, rise: %d, fall: %d,", h.Interval, h.Timeout, h.Rise, h.Fall)
		}
		if h.Port != 0 {
			line("             port: %d,", h.Port)
		}
		if h.ViaTunnel {
			line("             via: tunnel,")
		} else if h.Type != balancer.HealthNone {
			line("             via: direct,")
		}
		if h.FastInterval != 0 {
			line("             fast-interval: %v,", h.FastInterval)
		}
		for i, a := range h.Sources { // either form
			if len(h.Sources) == 1 {
				line("             source: %q,", a)
			} else if i == 0 {
				line("             source: [%q, %q],", a, h.Sources[1])
			}
		}
		switch h.Type {
		case balancer.HealthHTTPS:
			line("             insecure: %t,", h.Insecure)
			if h.CA != "" {
				line("             ca: %q,", h.CA)
			}
		case balancer.HealthUDP:
			line("             send: hex:%x, expect: %q,", h.Send, "base64:"+base64.StdEncoding.EncodeToString([]byte(h.Receive)))
		case balancer.HealthDNS:
			line("             name: %q, query: %v, rcode: [%v],", h.Name, h.Query, h.Rcodes)
			if h.Answer != "" {
				line("             answer: %q,", h.Answer)
			}
		}
		if h.Type == balancer.HealthHTTP || h.Type == balancer.HealthHTTPS {
			line("             path: %q, host: %q, body: %q,", h.Path, h.Host, h.Body)
			var expect []string
			for _, r := range h.Expect {
				expect = append(expect, fmt.Sprintf("%d-%d", r.First, r.Last))
			}
			line("             expect: [%s],", strings.Join(expect, ", "))
		}
		line("            }")
		if len(s.Backends) == 0 {
			line("    backends: []")
			continue
		}
		line("    backends:")
		for _, b := range s.Backends {
			line("    - weight: %d\n      address: %v\n      name: %q", b.Weight, b.Address, b.Name)
			if b.Port != 0 {
				line("      port: %d", b.Port)
			}
			line("      backup: %t", b.Backup)
			if b.MaxConns != 0 {
				line("      max-conns: %d", b.MaxConns)
			}
		}
	}
	return b.String()
}

// specs draws valid Specs of up to n services.
func specs(n int) *rapid.Generator[balancer.Spec] {
	return rapid.Custom(func(t *rapid.T) balancer.Spec {
		spec := balancer.Spec{Services: []balancer.ServiceSpec{}}
		for i := range rapid.IntRange(1, n).Draw(t, "services") {
			spec.Services = append(spec.Services, drawService(t, i))
		}
		return spec
	})
}

func drawService(t *rapid.T, i int) balancer.ServiceSpec {
	v6 := rapid.Bool().Draw(t, "v6")
	pick := func(four, six string, n int) netip.Addr {
		if v6 {
			return netip.MustParseAddr(fmt.Sprintf(six, n/256, n%256))
		}
		return netip.MustParseAddr(fmt.Sprintf(four, n/256, n%256))
	}
	s := balancer.ServiceSpec{
		Name:        fmt.Sprintf("service-%d", i),
		Address:     pick("192.0.%d.%d", "2001:db8::%x:%x", i+1),
		Protocol:    rapid.SampledFrom([]balancer.Protocol{balancer.TCP, balancer.UDP}).Draw(t, "protocol"),
		Mode:        rapid.SampledFrom([]balancer.Mode{balancer.NAT, balancer.DSR, balancer.IPIP, balancer.GUE, balancer.GRE}).Draw(t, "mode"),
		Algorithm:   balancer.Algorithm(rapid.IntRange(0, int(balancer.Maglev)).Draw(t, "algorithm")),
		OnNoBackend: balancer.OnNoBackend(rapid.IntRange(0, 1).Draw(t, "on-no-backend")),
		OnDown:      balancer.OnDown(rapid.IntRange(0, 2).Draw(t, "on-down")),
		SlowStart:   time.Duration(rapid.IntRange(0, 86_400_000).Draw(t, "slow-start")) * time.Millisecond,
		MinHealthy:  rapid.SampledFrom([]balancer.MinHealthy{{}, {Percent: 1}, {Percent: 100}}).Draw(t, "min-healthy"),
		DrainTime:   time.Duration(rapid.IntRange(0, 100_000).Draw(t, "drain-time")) * time.Millisecond,
		Backends:    []balancer.BackendSpec{},
	}
	if s.Protocol == balancer.UDP && !s.Algorithm.Hashes() {
		s.Affinity = rapid.SampledFrom([]balancer.Affinity{balancer.AffinityFlow, balancer.AffinityNone}).Draw(t, "affinity")
	}
	if s.Affinity == balancer.AffinityFlow && rapid.Bool().Draw(t, "persistence") {
		s.Persistence = balancer.PersistenceSpec{
			Timeout: time.Duration(rapid.IntRange(1000, 100_000).Draw(t, "ms")) * time.Millisecond,
			Prefix4: rapid.IntRange(1, 32).Draw(t, "prefix4"), Prefix6: rapid.IntRange(1, 128).Draw(t, "prefix6"),
			Group: rapid.SampledFrom([]string{"", fmt.Sprint("group-", i)}).Draw(t, "group"),
		}
	}
	switch port := rapid.Uint16Range(1, 60000).Draw(t, "port"); rapid.IntRange(0, 2).Draw(t, "ports") {
	case 0:
		s.First, s.Last = port, port
	case 1:
		s.First, s.Last = port, port+rapid.Uint16Range(1, 5000).Draw(t, "more")
	case 2:
		s.First, s.Last = 0, balancer.MaxPort
	}
	for j := range rapid.IntRange(0, 5).Draw(t, "backends") {
		b := balancer.BackendSpec{
			Name:    fmt.Sprintf("%s %d", []string{"1.5", "null", "yes", "~", "#x"}[j], j),
			Address: pick("10.1.%d.%d", "2001:db8:1::%x:%x", j+1),
			Weight:  rapid.Uint16().Draw(t, "weight"),
		}
		b.Name = strings.ReplaceAll(b.Name, " ", "")
		b.Backup = j > 0 && rapid.Bool().Draw(t, "backup")
		if s.Protocol == balancer.TCP {
			b.MaxConns = rapid.SampledFrom([]uint32{0, 1, 1<<31 - 1}).Draw(t, "max-conns")
		}
		switch {
		case s.First == s.Last:
			b.Port = s.First
		case s.Mode == balancer.NAT && rapid.Bool().Draw(t, "translate"):
			b.Port = rapid.Uint16Min(1).Draw(t, "backend port")
		}
		s.Backends = append(s.Backends, b)
	}
	if (s.MinHealthy != balancer.MinHealthy{}) {
		below := []balancer.BelowMinHealthy{balancer.Panic, balancer.TakeDown}
		if hasBackup(&s) {
			below = append(below, balancer.JoinBackup)
		}
		s.BelowMin = rapid.SampledFrom(below).Draw(t, "below-min-healthy")
	}
	s.Health = drawHealth(t)
	drawTunnel(t, &s)
	return s
}

func drawTunnel(t *rapid.T, s *balancer.ServiceSpec) {
	if !s.Mode.Traits().Encapsulates {
		return
	}
	if s.Mode == balancer.GUE {
		s.GUE = balancer.GUESpec{Port: rapid.Uint16Min(1).Draw(t, "gue port"), Variant: rapid.Uint8Max(1).Draw(t, "variant"), Checksum: rapid.Bool().Draw(t, "checksum")}
	}
	if rapid.Bool().Draw(t, "source") {
		s.TunnelSources = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.64.0.0/%d", rapid.IntRange(10, 30).Draw(t, "bits")))}
	}
	s.Health.ViaTunnel = s.Health.Type == balancer.HealthTCP && rapid.Bool().Draw(t, "via")
}

func drawHealth(t *rapid.T) balancer.HealthSpec {
	ms := func(low, high int, what string) time.Duration {
		return time.Duration(rapid.IntRange(low, high).Draw(t, what)) * time.Millisecond
	}
	h := balancer.HealthSpec{
		Type: rapid.Custom(func(t *rapid.T) balancer.HealthType {
			return balancer.HealthType(rapid.IntRange(0, int(balancer.HealthNone)).Draw(t, "type"))
		}).Draw(t, "health"),
		Port:     rapid.Uint16Min(1).Draw(t, "health port"),
		Interval: ms(1000, 90000, "interval"),
		Timeout:  ms(10, 1000, "timeout"),
		Rise:     rapid.IntRange(1, 1000).Draw(t, "rise"),
		Fall:     rapid.IntRange(1, 1000).Draw(t, "fall"),
	}
	if h.Type == balancer.HealthNone {
		// The defaults: with this type no key may be given.
		h = balancer.HealthSpec{Type: balancer.HealthNone, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	}
	if h.Type == balancer.HealthICMP {
		h.Port = 0
	}
	if h.Type != balancer.HealthNone {
		h.FastInterval = ms(0, 1, "fast") * 50
		h.Sources = append(h.Sources, []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("2001:db8:99::1")}[:rapid.IntRange(0, 2).Draw(t, "sources")]...)
	}
	drawAnswers(t, &h)
	if h.Type == balancer.HealthHTTP || h.Type == balancer.HealthHTTPS {
		h.Path = "/" + rapid.StringMatching(`[a-z?&=#"'%:,-]{0,8}`).Draw(t, "path")
		h.Host = rapid.StringMatching(`[a-z0-9.:-]{1,12}`).Draw(t, "host")
		h.Body = rapid.StringMatching(`[ -~]{1,12}`).Draw(t, "body")
		for range rapid.IntRange(1, 3).Draw(t, "ranges") {
			first := rapid.IntRange(100, 599).Draw(t, "first")
			h.Expect = append(h.Expect, balancer.StatusRange{First: first, Last: rapid.IntRange(first, 599).Draw(t, "last")})
		}
	}
	return h
}

// drawAnswers draws what only some types of checks have.
func drawAnswers(t *rapid.T, h *balancer.HealthSpec) {
	octets := func(what string) string { return string(rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, what)) }
	switch h.Type {
	case balancer.HealthHTTPS:
		if h.Insecure = rapid.Bool().Draw(t, "insecure"); !h.Insecure {
			h.CA = rapid.StringMatching(`(/[a-z]{1,4})?`).Draw(t, "ca")
		}
	case balancer.HealthUDP:
		h.Send, h.Receive = octets("send"), octets("expect")
	case balancer.HealthDNS:
		h.Name = rapid.StringMatching(`[a-z0-9_-]{1,8}(\.[a-z]{1,9}){0,3}\.?`).Draw(t, "name")
		h.Query = rapid.SampledFrom([]balancer.QueryType{1, 2, 5, 12, 15, 16, 28, 33}).Draw(t, "query")
		h.Rcodes = balancer.Rcodes(rapid.Uint16Range(1, 1<<11-1).Draw(t, "rcode"))
		switch {
		case !h.Rcodes.Has(0) || h.Query == balancer.QueryA || h.Query == balancer.QueryAAAA:
		case h.Query == balancer.QueryTXT:
			h.Answer = rapid.StringMatching(`[ -~]{0,12}`).Draw(t, "text")
		default:
			h.Answer = rapid.StringMatching(`([!-\-/-~]{1,12}(\.[a-z]{1,3})?\.?)?`).Draw(t, "answer")
		}
	}
}

// TestParseInvertsRender: whatever Spec is written to a file, the same is read.
func TestParseInvertsRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := specs(6).Draw(t, "spec")
		if problems := want.Validate(); len(problems) > 0 {
			t.Fatalf("the generator drew a spec that is wrong: %v", problems)
		}
		file := render(want)
		got, err := Parse("f", []byte(file))
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		if diff := cmp.Diff(want, got.Spec, compareAddresses); diff != "" {
			t.Fatalf("-written +read:\n%s\n%s", diff, file)
		}
	})
}

// TestOneWrongLine breaks one line of a right file: the problem is reported for
// that line, and for no other.
func TestOneWrongLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := strings.Split(render(specs(4).Draw(t, "spec")), "\n")
		var candidates []int
		for i, l := range lines {
			if strings.HasPrefix(l, "    address:") || strings.HasPrefix(l, "      address:") {
				candidates = append(candidates, i)
			}
		}
		i := rapid.SampledFrom(candidates).Draw(t, "line")
		key, _, _ := strings.Cut(lines[i], ":")
		lines[i] = key + ": nonsense"
		_, err := Parse("f", []byte(strings.Join(lines, "\n")))
		problems, ok := err.(Problems)
		if !ok || len(problems) != 1 || problems[0].Line != i+1 {
			t.Fatalf("line %d is wrong, the problems are: %v\n%s", i+1, err, strings.Join(lines, "\n"))
		}
	})
}

// TestLargeFile reads a file of the size that a large site has.
func TestLargeFile(t *testing.T) {
	var spec balancer.Spec
	for i := range 300 {
		s := balancer.ServiceSpec{
			Name: fmt.Sprintf("s%d", i), Address: netip.AddrFrom4([4]byte{192, 0, byte(i / 200), byte(i%200 + 1)}),
			First: 443, Last: 443, Protocol: balancer.TCP, Algorithm: balancer.Maglev,
			Health: balancer.HealthSpec{Type: balancer.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1},
		}
		for j := range 40 {
			s.Backends = append(s.Backends, balancer.BackendSpec{
				Name: fmt.Sprintf("b%d", j), Address: netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j + 1)}), Port: 443, Weight: 1,
			})
		}
		// every other service lists fewer, to tell the indexes apart
		spec.Services = append(spec.Services, s)
		spec.Services[i].Backends = s.Backends[:40-i%2]
	}
	got, err := Parse("f", []byte(render(spec)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, got.Spec, compareAddresses); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
}
