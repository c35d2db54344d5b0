package doctor

import (
	"strings"
	"testing"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/nic"
)

// What no packet of a client's comes by, or none that could be read, is not served.
func TestRefuse(t *testing.T) {
	for want, now := range map[string]nic.State{
		"lo is a loopback":   {Name: "lo", Loopback: true},
		"wg0 is no Ethernet": {Name: "wg0", Bare: true},
		"":                   {Name: "eth0"},
	} {
		s := Site{ports: []place{{nic: now}}, engine: &engine.Config{}}
		if err := s.Refuse(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", now.Name, err, want)
		}
	}
}
