package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// parseServices parses a file and returns its services.
func parseServices(t *testing.T, data string) []balancer.ServiceSpec {
	t.Helper()
	c, err := Parse("f", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return c.Spec.Services
}

// TestExample reads the file that is installed with the program: it shows
// most keys, and what it says about defaults in comments is true.
func TestExample(t *testing.T) {
	const path = "../../packaging/afxlb.example.yaml"
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Interfaces = InterfaceList{"eth0"}
	tcp := balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	web, dns := tcp, tcp
	web.Type, web.Path, web.Host, web.Body = balancer.HealthHTTP, "/healthz", "www.example.com", "ok"
	web.Expect = []balancer.StatusRange{{First: 200, Last: 200}, {First: 204, Last: 204}}
	dns.Interval, dns.Timeout = time.Second, time.Second
	want.Spec.Services = []balancer.ServiceSpec{
		{
			Name: "web", Address: addr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP, DrainTime: time.Minute, Health: web,
			Backends: []balancer.BackendSpec{
				{Name: "a", Address: addr("10.0.0.11"), Port: 8080, Weight: 1},
				{Name: "b", Address: addr("10.0.0.12"), Port: 8080, Weight: 3},
			},
		}, {
			Name: "dns", Address: addr("192.0.2.53"), First: 53, Last: 53, Protocol: balancer.UDP,
			Mode: balancer.DSR, Algorithm: balancer.Maglev, DrainTime: time.Minute, Health: dns,
			Backends: []balancer.BackendSpec{
				{Name: "10.0.0.53:53", Address: addr("10.0.0.53"), Port: 53, Weight: 1},
				{Name: "10.0.0.54:53", Address: addr("10.0.0.54"), Port: 53, Weight: 1},
			},
		}, {
			Name: "mail", Address: addr("192.0.2.25"), First: 25, Last: 25, Protocol: balancer.TCP, Mode: balancer.FullNAT, DrainTime: time.Minute, Health: tcp,
			SnatAddresses: []netip.Addr{addr("10.0.0.5"), addr("10.0.0.6")}, SnatPorts: balancer.Ports{First: 1024, Last: balancer.MaxPort},
			Backends: []balancer.BackendSpec{
				{Name: "10.0.0.25:25", Address: addr("10.0.0.25"), Port: 25, Weight: 1},
				{Name: "10.0.0.26:25", Address: addr("10.0.0.26"), Port: 25, Weight: 1},
			},
		}, {
			Name: "web6", Address: addr("2001:db8:2::10"), First: 80, Last: 80, Protocol: balancer.TCP, DrainTime: time.Minute, Health: tcp,
			Backends: []balancer.BackendSpec{
				{Name: "a", Address: addr("2001:db8:10::11"), Port: 8080, Weight: 1},
				{Name: "b", Address: addr("2001:db8:10::12"), Port: 8080, Weight: 1},
			},
		},
	}
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestExampleComments uncomments the example's defaults: they must be valid and
// be the defaults.
func TestExampleComments(t *testing.T) {
	data, err := os.ReadFile("../../packaging/afxlb.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Parse("plain", data)
	if err != nil {
		t.Fatal(err)
	}
	full, err := Parse("uncommented", uncomment(data))
	if err != nil {
		t.Fatal(err)
	}
	// The three that have no written default.
	if full.CPUs.String() != "2-5" || full.FrameSize != 2048 || full.Spec.Services[0].Health.Port != 8080 {
		t.Errorf("cpus %v, frames of %d, health port %d: the comments were not uncommented", full.CPUs, full.FrameSize, full.Spec.Services[0].Health.Port)
	}
	full.CPUs, full.FrameSize, full.Spec.Services[0].Health.Port = nil, 0, 0
	if diff := cmp.Diff(plain, full, compareAddresses); diff != "" {
		t.Errorf("comments that are not the defaults (-default +comment):\n%s", diff)
	}
}

// commentedKey finds the lines of the example that hold a key behind `# `.
var commentedKey = regexp.MustCompile(`(?m)^( *)# ((?:  )?[a-z-]+:(?: |$))`)

// uncomment activates these lines.
func uncomment(data []byte) []byte {
	return commentedKey.ReplaceAll(data, []byte("$1$2"))
}

// TestDocumentedConfigs loads every config that README and docs show.
func TestDocumentedConfigs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			if !bytes.Contains(block[1], []byte("services:")) {
				continue
			}
			found++
			if _, err := Parse(page, block[1]); err != nil {
				t.Errorf("a config in %s is wrong (lines counted from its first):\n%v", page, err)
			}
		}
	}
	if found == 0 {
		t.Error("no config found in README.md")
	}
}

// yamlBlock finds fenced YAML in Markdown.
var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

func TestServiceDefaults(t *testing.T) {
	for _, test := range []struct {
		name, service string
		health        balancer.HealthType
		port          uint16
		backend       string
	}{
		{"tcp", "port: 80", balancer.HealthTCP, 80, "10.0.0.1:80"},
		{"udp", "port: 53, protocol: udp", balancer.HealthNone, 53, "10.0.0.1:53"},
		{"udp with an interval", "port: 53, protocol: udp, health: {interval: 1s}", balancer.HealthTCP, 53, "10.0.0.1:53"},
		{"range", `port: "8000-8099"`, balancer.HealthNone, 0, "10.0.0.1"},
		{"range, bare", `port: 8000-8099`, balancer.HealthNone, 0, "10.0.0.1"},
		{"any", `port: any`, balancer.HealthNone, 0, "10.0.0.1"},
		{"any with a port to probe", `port: any, health: {port: 22}`, balancer.HealthTCP, 0, "10.0.0.1"},
		{"off", `port: 80, health: {type: none}`, balancer.HealthNone, 80, "10.0.0.1:80"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := parseServices(t, "services: [{name: x, address: 192.0.2.1, "+test.service+", backends: [{address: 10.0.0.1}]}]")[0]
			want := balancer.BackendSpec{Name: test.backend, Address: addr("10.0.0.1"), Port: test.port, Weight: 1}
			if diff := cmp.Diff(want, s.Backends[0], compareAddresses); diff != "" {
				t.Errorf("backend (-want +got):\n%s", diff)
			}
			if s.Health.Type != test.health {
				t.Errorf("health type %v, want %v", s.Health.Type, test.health)
			}
			if s.Mode != balancer.NAT || s.Algorithm != balancer.RoundRobin || s.OnDown != balancer.Reassign || s.OnNoBackend != balancer.Reject || s.DrainTime != time.Minute {
				t.Errorf("defaults: %v %v %v %v %v", s.Mode, s.Algorithm, s.OnDown, s.OnNoBackend, s.DrainTime)
			}
		})
	}
}

func TestAliasesRepeatBlocks(t *testing.T) {
	s := parseServices(t, `
services:
  - name: a
    address: 192.0.2.1
    port: 80
    health: &probe {type: http, path: /up, timeout: 1s}
    backends: &pool
      - {name: x, address: 10.0.0.1}
      - &y {name: y, address: 10.0.0.2}
  - {name: b, address: 192.0.2.1, port: 81, health: *probe, backends: *pool}
  - {name: c, address: 192.0.2.1, port: 82, health: *probe, backends: [*y]}
`)
	if diff := cmp.Diff(s[0].Health, s[1].Health); diff != "" || s[2].Health.Path != "/up" {
		t.Errorf("aliased health differs:\n%s", diff)
	}
	if len(s[1].Backends) != 2 || s[1].Backends[0].Port != 81 || len(s[2].Backends) != 1 || s[2].Backends[0].Name != "y" {
		t.Errorf("aliased backends: %+v and %+v", s[1].Backends, s[2].Backends)
	}
}

// TestAlgorithmAliases: other load balancers' names mean the same, and what is
// nearly a name still gets its hint.
func TestAlgorithmAliases(t *testing.T) {
	const file = "services: [{name: a, address: 192.0.2.1, port: 80, backends: [], algorithm: %s}]"
	for alias, want := range map[string]balancer.Algorithm{
		"random": balancer.Weighted, "weighted": balancer.Weighted, "p2c": balancer.TwoChoices, "two-choices": balancer.TwoChoices,
	} {
		if got := parseServices(t, fmt.Sprintf(file, alias))[0].Algorithm; got != want {
			t.Errorf("%s is read as %v, want %v", alias, got, want)
		}
	}
	_, err := Parse("f", fmt.Appendf(nil, file, "two_choices"))
	if err == nil || !strings.HasSuffix(err.Error(), `(did you mean "two-choices"?)`) {
		t.Errorf("two_choices: %v, want a hint", err)
	}
}

func TestStatusRanges(t *testing.T) {
	for text, want := range map[string]balancer.StatusRange{
		"200": {First: 200, Last: 200}, "200-399": {First: 200, Last: 399}, "100 - 599": {First: 100, Last: 599},
	} {
		if got, err := parseStatus(text); err != nil || got != want {
			t.Errorf("parseStatus(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "99", "600", "300-200", "200-", "-200", "200-300-400", "2xx"} {
		if got, err := parseStatus(text); err == nil {
			t.Errorf("parseStatus(%q) = %v, want an error", text, got)
		}
	}
}
