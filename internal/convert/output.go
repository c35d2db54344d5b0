package convert

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/config"
)

// output is a file of ours before it is written.
type output struct {
	notes    []note
	services []*service
	timeouts [][2]string // of conntrack: key and value
}

// note is something to say about a place in the old file.
type note struct {
	at
	what, text string
	lost       bool // it is left out
}

// service is one of ours. An empty string means that nothing is said.
type service struct {
	at
	name, address, ports      string
	protocol, mode, algorithm string
	gue                       string   // the content of the block
	sources                   []string // snat-addresses
	onDown, affinity          string
	slowStart                 time.Duration
	minHealthy                int // with below-min-healthy: backup; 0: none
	persistence, prefix       string
	health                    *health // nil: none is written
	backends                  []*backend
	notes                     []note
	refused                   string // why it is a comment
}

// health is a health check.
type health struct {
	kind, port        string
	interval, timeout time.Duration
	rise, fall        int
	path, host, body  string
	expect            []string // of udp, what the answer must have
	fast              time.Duration
	source, ca        string
	insecure          bool
	send, name, query string
	changed           []string // to be in the bounds of ours
}

// backend is one of a service's.
type backend struct {
	at
	name, address, port, weight string
	backup                      bool
	maxConns                    int           // 0: any number
	slowStart                   time.Duration // its service's is the longest
	health                      *health       // as its service's is to be
	refused                     string        // why it is a comment
}

// lose notes what is left out.
func (s *service) lose(p at, what, text string) {
	s.notes = append(s.notes, note{p, what, text, true})
}

// tell notes what somebody may want to know.
func (s *service) tell(p at, what, text string) {
	s.notes = append(s.notes, note{p, what, text, false})
}

func (o *output) lose(p at, what, text string) { o.notes = append(o.notes, note{p, what, text, true}) }
func (o *output) tell(p at, what, text string) { o.notes = append(o.notes, note{p, what, text, false}) }

// leftOut counts what has no equivalent.
func (o *output) leftOut() (n int) {
	count := func(notes []note) {
		for _, one := range notes {
			if one.lost {
				n++
			}
		}
	}
	count(o.notes)
	for _, s := range o.services {
		count(s.notes)
		if s.refused != "" {
			n++
		}
		for _, b := range s.backends {
			if b.refused != "" {
				n++
			}
		}
	}
	return n
}

// unfit are what a name may not have.
var unfit = regexp.MustCompile(`[^\pL\pN\pP\pS]+|/`)

// settle makes what is left to be made once all is read: names that are names and differ,
// and one health check for each service.
func (o *output) settle() {
	names := map[string]bool{}
	unique := func(name string, taken map[string]bool) string {
		name = unfit.ReplaceAllString(name, "-")
		if len(name) > 100 {
			name = strings.ToValidUTF8(name[:100], "")
		}
		one := name
		for i := 2; taken[one]; i++ {
			one = fmt.Sprintf("%s-%d", name, i)
		}
		taken[one] = true
		return one
	}
	for _, s := range o.services {
		s.name = unique(s.name, names)
		taken := map[string]bool{}
		for i, b := range s.backends {
			if b.name != "" {
				b.name = unique(b.name, taken)
			}
			switch a, err := netip.ParseAddr(b.address); {
			case err != nil:
				b.refused = "it is a host name; write its address, for names are not looked up"
			case len(s.sources) > 0 && !slices.ContainsFunc(s.sources, func(source string) bool { return strings.Contains(source, ":") == a.Unmap().Is6() }):
				b.refused = "this machine speaks to the others from " + strings.Join(s.sources, ", ") + ", of the other family; add an address of its own to snat-addresses"
			}
			switch {
			case i == 0:
				if s.health = b.health; s.health != nil && len(s.health.changed) > 0 {
					s.tell(b.at, "health check", strings.Join(s.health.changed, "; ")+": an interval is from 10ms to 24h, no timeout or fast-interval is longer, and rise and fall are 1000 at most")
				}
			case !b.health.same(s.health):
				s.lose(b.at, "health check of "+b.address, "differs from that of the first backend, and here all of a service are asked alike")
			}
		}
	}
	said := map[note]bool{} // several services can come of one place
	once := func(n note) bool { twice := said[n]; said[n] = true; return twice }
	o.notes = slices.DeleteFunc(o.notes, once)
	for _, s := range o.services {
		s.notes = slices.DeleteFunc(s.notes, once)
	}
}

func (h *health) same(other *health) bool {
	if h == nil || other == nil {
		return h == other
	}
	return fmt.Sprint(*h) == fmt.Sprint(*other)
}

// place is what a problem is about.
var place = regexp.MustCompile(`^services\[(\d+)\](?:\.backends\[(\d+)\])?`)

// refuse makes comments of what check refuses, and reports whether there was any.
func (o *output) refuse(problems config.Problems) bool {
	done, unasked := false, map[*service]bool{}
	live := slices.DeleteFunc(slices.Clone(o.services), func(s *service) bool { return s.refused != "" })
	backends := make([][]*backend, len(live)) // as they were when check saw them
	for i, s := range live {
		backends[i] = slices.DeleteFunc(slices.Clone(s.backends), func(b *backend) bool { return b.refused != "" })
	}
	for _, p := range problems {
		m := place.FindStringSubmatch(p.Path)
		if m == nil {
			continue
		}
		i, _ := strconv.Atoi(m[1])
		if m[2] == "" {
			s, key := live[i], strings.TrimPrefix(p.Path, m[0]+".")
			switch {
			case unasked[s] && strings.HasPrefix(key, "health"):
			case strings.HasPrefix(key, "health") && s.health != nil && s.health.kind != "none": // the rest of it may be right
				unasked[s], s.health, done = true, &health{kind: "none"}, true
				s.lose(s.at, "health check", "check refuses it: "+key+": "+p.Text)
			case s.refused == "":
				s.refused, done = "check refuses it: "+key+": "+p.Text, true
			}
			continue
		}
		j, _ := strconv.Atoi(m[2])
		backends[i][j].refused, done = "check refuses it: "+p.Text, true
	}
	return done
}

// timeout sets one of conntrack, in the bounds of ours; 0 leaves it as it is.
func (o *output) timeout(p at, key string, d time.Duration) {
	o.timeouts = slices.DeleteFunc(o.timeouts, func(t [2]string) bool { return t[0] == key })
	if d == 0 {
		return
	}
	fit := min(max(d, 100*time.Millisecond), 720*time.Hour)
	if fit != d {
		o.tell(p, key+" of "+brief(d), "is out of range, and written as "+brief(fit))
	}
	o.timeouts = append(o.timeouts, [2]string{key, brief(fit)})
}

// brief returns a duration without what is 0 of it, as in 5m.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
