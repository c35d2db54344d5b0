package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
)

// Backup backends, min-healthy and max-conns are what they are in a running balancer.
func TestShares(t *testing.T) {
	const config = `
services:
  - {name: web, address: 192.0.2.10, port: 80, %s backends: [{name: a, address: 10.0.0.11}, {name: b, address: 10.0.0.12%s}]}
`
	var packets []capture.Packet
	for i := range 4 {
		packets = append(packets, at(time.Duration(i)*time.Second, syn(fmt.Sprint(1000+i))))
	}
	for name, c := range map[string]struct {
		keys, more string
		want       string // backends of the SYNs; a is down from the third on
	}{
		"backup":               {"", ", backup: true", "a a b b"},
		"down":                 {"min-healthy: 2, below-min-healthy: down,", "", "a b - -"},
		"panic":                {"min-healthy: 2,", "", "a b a b"},
		"the other has enough": {"", ", max-conns: 1", "a b b b"}, // what only knocks keeps nobody out
	} {
		o := options(t, fmt.Sprintf(config, c.keys, c.more), file(t, packets))
		e, err := ParseEvent(Down, "a@1.5")
		if err != nil {
			t.Fatal(err)
		}
		o.Events = append(o.Events, e)
		_, records, _ := replayed(t, o)
		got := ""
		for _, r := range records {
			if r.Backend == "" {
				r.Backend = "-"
			}
			got += " " + r.Backend
		}
		if got != " "+c.want {
			t.Errorf("%s: the SYNs went to%s, want %s", name, got, c.want)
		}
	}
}
