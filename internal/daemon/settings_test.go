package daemon

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/config"
)

// Each timeout of the file is that of the flows which are called like it, and the
// defaults of both are the same.
func TestTimeoutsAreThoseOfTheirNames(t *testing.T) {
	c, err := config.Parse("f", []byte(`
conntrack:
  timeouts: {tcp-syn: 1s, tcp-established: 2s, tcp-fin-wait: 3s, tcp-closing: 4s, udp-new: 5s, udp-established: 6s, icmp: 7s}
services: []
`))
	if err != nil {
		t.Fatal(err)
	}
	names := map[time.Duration]string{
		time.Second: "tcp-syn", 2 * time.Second: "tcp-established", 3 * time.Second: "tcp-fin-wait", 4 * time.Second: "tcp-closing",
		5 * time.Second: "udp-new", 6 * time.Second: "udp-established", 7 * time.Second: "icmp",
	}
	for class, d := range timeouts(&c.Conntrack) {
		if d == 0 {
			continue // one that goes by another's
		}
		if got := conntrack.Class(class).String(); names[d] != got {
			t.Errorf("flows in state %s get the timeout of %s", got, names[d])
		}
		delete(names, d)
	}
	if len(names) > 0 {
		t.Errorf("nobody gets the timeouts %v", names)
	}
	if got := timeouts(&config.Default().Conntrack); got != conntrack.DefaultTimeouts() {
		t.Errorf("defaults %v, the table's are %v", got, conntrack.DefaultTimeouts())
	}
}
