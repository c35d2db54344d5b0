package arch

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// rule says which packages of ours those under pkg may import. A trailing /...
// means the folder and all below it.
type rule struct {
	pkg string
	may []string
}

// rules is the architecture; the first rule that fits a package counts. A
// package without a rule is an error: say here where it belongs.
var rules = []rule{
	{"internal/packet", nil},
	{"internal/testutil", nil},
	{"internal/arch", nil},
	{"internal/lab", nil},
	{"internal/egress", []string{"internal/packet"}},
	{"internal/nic", nil},
	{"internal/events", nil},
	{"internal/api", []string{"internal/events"}},
	{"internal/announce", []string{"balancer"}},
	{"internal/capture", nil},
	{"internal/pcapfilter", []string{"internal/packet"}},
	{"internal/punt", nil},

	{"xsk", nil},
	{"bpf", []string{"bpf/vm"}},
	{"bpf/vm", nil},
	{"balancer", []string{"internal/packet"}},
	{"engine/...", []string{"engine/...", "xsk", "bpf", "balancer", "internal/packet", "internal/punt", "internal/nic"}},

	{"internal/config", []string{"balancer", "internal/packet"}},
	{"internal/convert", []string{"balancer", "internal/config"}},
	{"internal/health", []string{"balancer", "internal/packet"}},
	{"internal/listener", []string{"balancer"}},
	{"internal/control", []string{"bpf", "balancer", "internal/packet", "internal/health", "internal/egress", "internal/events"}},
	{"internal/metrics", []string{"balancer", "internal/api", "internal/health"}},
	{"internal/top", []string{"internal/api"}},
	{"internal/web", []string{"internal/api", "internal/events"}},
	{"internal/doctor", []string{"engine", "xsk", "bpf", "balancer", "internal/announce", "internal/api", "internal/config", "internal/control", "internal/egress", "internal/events", "internal/listener", "internal/nic", "internal/packet", "internal/punt"}},
	{"internal/report", []string{"internal/health", "internal/metrics", "engine/...", "xsk", "bpf", "balancer", "internal/packet", "internal/announce", "internal/api", "internal/control", "internal/egress"}},
	{"internal/trace", []string{"engine/...", "xsk", "bpf", "balancer", "internal/api", "internal/packet", "internal/replay"}},
	{"internal/tap", []string{"engine/...", "internal/api", "internal/capture", "internal/packet", "internal/pcapfilter"}},
	{"internal/daemon", []string{"engine/...", "xsk", "bpf", "balancer",
		"internal/announce", "internal/api", "internal/config", "internal/control", "internal/doctor", "internal/events", "internal/health", "internal/listener", "internal/egress", "internal/metrics", "internal/report", "internal/nic", "internal/packet", "internal/punt", "internal/tap", "internal/trace", "internal/web"}},
	{"internal/replay", []string{"engine/...", "xsk", "bpf", "balancer", "internal/capture", "internal/config", "internal/control", "internal/packet", "internal/punt"}},
	{"internal/demo/...", []string{"engine/...", "xsk", "bpf", "balancer", "internal/..."}},
	{"cmd/...", []string{"engine/...", "xsk", "bpf", "balancer", "internal/..."}},

	// For tests and benchmarks: nothing above may import these.
	{"internal/packet/packettest", []string{"internal/packet"}},
	{"xsk/xsktest", []string{"xsk"}},
	{"internal/vmlab/...", []string{"internal/vmlab/...", "internal/lab", "internal/api"}},
	{"bench/...", []string{"bench/...", "engine/...", "xsk/...", "bpf", "balancer", "internal/..."}},
}

// forTests lists what tests may import on top of their package's rule and of
// the package itself.
var forTests = []string{"internal/testutil", "internal/lab", "internal/packet/...", "xsk/xsktest"}

// third says where packages of others may be used; those not named, anywhere.
var third = []struct {
	path  string
	may   []string
	tests bool // and in tests everywhere
}{
	{"charm.land", []string{"internal/top"}, false},
	{"github.com/charmbracelet", []string{"internal/top"}, false},
	{"github.com/HdrHistogram/hdrhistogram-go", []string{"bench/..."}, false},
	{"github.com/asavie/xdp", []string{"xsk", "bench/..."}, false},
	{"github.com/chromedp", nil, true},
	{"github.com/danielgtaylor/huma", []string{"internal/api"}, false},
	{"github.com/google/nftables", []string{"internal/doctor"}, true},
	{"github.com/google/gopacket", []string{"bench/...", "internal/packet/packettest"}, true},
	{"github.com/prometheus", []string{"internal/metrics"}, true},
	{"github.com/santhosh-tekuri/jsonschema", nil, true},
	{"github.com/google/jsonschema-go", []string{"internal/config"}, false},
	{"github.com/spf13/cobra", []string{"cmd/..."}, false},
	{"go.uber.org/zap", []string{"cmd/...", "internal/..."}, true},
	{"go.yaml.in/yaml/v4", []string{"internal/config"}, false},
	{"golang.org/x/sys/unix", []string{"xsk/...", "bpf", "engine/...", "internal/lab", "internal/announce", "internal/egress", "internal/punt", "internal/daemon", "internal/demo", "internal/doctor", "internal/replay", "cmd/...", "bench/...", "internal/nic", "internal/health", "internal/vmlab/..."}, true},
	{"net/http", []string{"cmd/...", "internal/...", "bench/..."}, true},
	{"os/exec", []string{"internal/lab", "internal/demo/...", "internal/vmlab/...", "bench/..."}, true},
	{"unsafe", []string{"xsk", "bpf", "engine/...", "internal/api", "internal/lab", "internal/egress", "internal/nic", "bench/..."}, true},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, s := range sources(t) {
		r, ok := ruleOf(s.pkg)
		if !ok {
			t.Errorf("%s: package %s has no rule: add it to the table in internal/arch", s.path, s.pkg)
			continue
		}
		allowed := r.may
		if s.test() {
			allowed = slices.Concat(allowed, forTests, []string{s.pkg})
		}
		ours, _ := s.imports()
		for _, imported := range ours {
			if !matchAny(allowed, imported) {
				t.Errorf("%s: must not import %s (%s may import %q)", s.path, imported, s.pkg, allowed)
			}
		}
	}
}

func TestThirdPartyStaysWhereItBelongs(t *testing.T) {
	for _, s := range sources(t) {
		_, others := s.imports()
		for _, imported := range others {
			for _, rule := range third {
				if !matches(rule.path+"/...", imported) || matchAny(rule.may, s.pkg) || rule.tests && s.test() {
					continue
				}
				t.Errorf("%s: must not import %s (only %q may)", s.path, imported, rule.may)
			}
		}
	}
}

// TestUnsafeHasItsOwnFiles: whoever reviews memory safety reads these, and only
// these.
func TestUnsafeHasItsOwnFiles(t *testing.T) {
	for _, s := range sources(t) {
		_, others := s.imports()
		if !s.test() && slices.Contains(others, "unsafe") && path.Base(s.path) != "unsafe.go" {
			t.Errorf("%s: imports unsafe; move what needs it to unsafe.go of its package", s.path)
		}
	}
}

func TestRulesAreOrdered(t *testing.T) {
	for i, r := range rules {
		if first, _ := ruleOf(strings.TrimSuffix(r.pkg, "/...")); first.pkg != r.pkg {
			t.Errorf("rule %d for %s is never reached: %s comes first", i, r.pkg, first.pkg)
		}
		for _, p := range r.may {
			if matches("cmd/...", p) || matches("bench/...", p) && r.pkg != "bench/..." {
				t.Errorf("rule for %s allows %s: nothing imports cmd or bench", r.pkg, p)
			}
		}
	}
	for pattern, paths := range map[string]map[string]bool{
		"xsk":        {"xsk": true, "xsk/xsktest": false, "xskother": false},
		"engine/...": {"engine": true, "engine/conntrack": true, "engineering": false},
	} {
		for path, want := range paths {
			if matches(pattern, path) != want {
				t.Errorf("matches(%q, %q) = %v", pattern, path, !want)
			}
		}
	}
}

func ruleOf(pkg string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func matches(pattern, path string) bool {
	folder, deep := strings.CutSuffix(pattern, "/...")
	return path == folder || deep && strings.HasPrefix(path, folder+"/")
}
