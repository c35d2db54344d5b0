package demo

import (
	"testing"

	"github.com/afxlb/afxlb/internal/config"
)

func TestConfigIsValid(t *testing.T) {
	for _, driver := range []string{"native", "asavie"} {
		c, err := config.Parse("demo.yaml", []byte(configFile(driver)))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Spec.Services) != len(services) || string(c.Driver) != driver {
			t.Errorf("%d services, driver %s", len(c.Spec.Services), c.Driver)
		}
		seen := map[string]bool{}
		for i, s := range c.Spec.Services {
			seen[s.Algorithm.String()+"/"+s.Mode.String()] = true
			if s.Name != services[i].name() || s.Health.Interval != interval || s.Health.Fall != fall || s.Health.Rise != rise {
				t.Errorf("service %s has health %+v", s.Name, s.Health)
			}
			for j, b := range s.Backends {
				if b.Name != backends[j].name || int(b.Weight) != backends[j].weight || b.Port != services[i].vip.Port() || b.Address.Is6() != s.Address.Is6() {
					t.Errorf("%s has the backend %+v", s.Name, b)
				}
			}
		}
		if len(seen) != 12 {
			t.Errorf("the demo shows %v, want all seven algorithms in nat, and each other mode", seen)
		}
	}
}

// Two nat services of one family must not share a port of a backend.
func TestRepliesCanBeToldApart(t *testing.T) {
	seen := map[string]string{}
	for _, s := range services {
		key := s.family() + s.vip.String()[len(s.vip.String())-4:]
		if other, twice := seen[key]; twice && s.mode == "nat" {
			t.Errorf("%s and %s share a port", s.name(), other)
		}
		seen[key] = s.name()
	}
	if roundRobin.algorithm != "round-robin" || leastConn.algorithm != "least-conn" || !leastConn.hold {
		t.Errorf("the later steps use %s and %s", roundRobin.name(), leastConn.name())
	}
}
