package top

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/afxlb/afxlb/internal/api"
)

// Down to a backend's details and up again; each list asks for what it shows alone.
func TestDrillDown(t *testing.T) {
	s := newScreen(t, 80, 24, Options{})
	s.pass()
	s.wants("services: 3", ">web")
	s.press("down", "enter")
	s.wants("backends of dns: 4", ">b0")
	s.press("down", "down", "enter")
	s.wants("backends of dns > b2", "ADDRESS    10.0.0.13:8080", "last of which took longer than")
	s.press("esc")
	s.wants(">b2")
	s.press("esc")
	s.wants("services: 3", ">dns")
	s.press("enter")
	s.wants(">b2")
	s.press("esc", "up", "enter")
	s.wants("backends of web", ">b0")
	s.press("esc", "esc", "2", "tab", "tab", "enter")
	s.wants("drops > no-flow", "from whom nobody has heard before")
	want := []string{"services", "backends of dns", "services", "backends of dns", "services", "backends of web", "services", "counters"}
	var asked []string
	for _, a := range s.fake.asked {
		if a != "status" && (len(asked) == 0 || asked[len(asked)-1] != a) {
			asked = append(asked, a)
		}
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	s.press("esc", "q")
	if last := s.fake.asked[len(s.fake.asked)-1]; last != "quit" {
		t.Error("q does not quit")
	}
}

func TestFilter(t *testing.T) {
	s := newScreen(t, 80, 24, Options{})
	s.pass()
	s.press("/", "D", "N", "x", "backspace", "S")
	s.wants("filter: dns_", `1 of 3 with "dns"`, ">dns")
	s.wantsNot("web ")
	s.press("enter")
	s.pass()
	s.wants(`1 of 3 with "dns"`, "? help")
	s.press("/", "q")
	s.wants("none of them has this text")
	s.press("esc")
	s.wants("services: 3", "web")
	s.press("/")
	s.Update(tea.PasteMsg{Content: "192.0.2.10"})
	s.press("enter")
	s.wants(">web", "1 of 3")
	s.press("esc")
	s.wants("services: 3")
}

// Sorted by each column that is seen, both ways, and as it was; the cursor stays on its row.
func TestSort(t *testing.T) {
	s := newScreen(t, 80, 24, Options{})
	s.pass()
	s.pass()
	names := func() (list []string) {
		for _, r := range s.rows {
			list = append(list, r.name[:3])
		}
		return list
	}
	for i, want := range [][]string{
		{"web", "dns", "a-s"}, // as listed
		{"a-s", "dns", "web"}, // by name
		{"web", "dns", "a-s"}, // by state: all, none, some
		{"web", "a-s", "dns"}, // by the share of those that are up
		{"a-s", "dns", "web"}, // by live connections
		{"a-s", "dns", "web"},
		{"a-s", "dns", "web"},
		{"a-s", "web", "dns"}, // by packets to clients; equals stay as they are
		{"a-s", "dns", "web"},
		{"a-s", "web", "dns"},
		{"web", "dns", "a-s"}, // around
	} {
		if got := names(); !slices.Equal(got, want) {
			t.Errorf("by column %d: %q, want %q", s.list().order.by, got, want)
		}
		if s.row().name != "web" {
			t.Errorf("step %d: the cursor is on %s", i, s.row().name)
		}
		if i < 10 {
			s.press(">")
		}
	}
	s.press("r")
	if got := names(); !slices.Equal(got, []string{"a-s", "dns", "web"}) {
		t.Errorf("the other way round: %q", got)
	}
	s.press("<")
	s.wants("bit/s OUT, most first")
	s.press("r")
	s.wants("bit/s OUT, least first")
	s.pass()
	if s.row().name != "web" {
		t.Errorf("the cursor is on %s", s.row().name)
	}
}

// A pause asks for nothing; what was asked for before another view comes too late.
func TestTicks(t *testing.T) {
	s := newScreen(t, 80, 24, Options{Interval: time.Nanosecond})
	next := func(c tea.Cmd) tea.Cmd { _, then := s.Update(c()); return then }
	wait := next(s.Init())
	ask := next(wait)
	if ask == nil || s.now == nil {
		t.Fatal("a tick asks for nothing")
	}
	late := ask()
	s.press("5")
	s.wants("events: 40")
	if _, then := s.Update(late); then != nil || s.now.kind != events {
		t.Error("an answer to what is not wanted any more is taken")
	}
	s.press("p")
	s.wants("PAUSED")
	if _, then := s.Update(tick{s.asked}); then != nil {
		t.Error("it asks in a pause")
	}
	if _, then := s.Update(tick{s.asked - 1}); then != nil {
		t.Error("an old tick asks")
	}
	_, then := s.Update(tea.KeyPressMsg{Code: tea.KeySpace, Text: " "})
	if then == nil || next(then) == nil {
		t.Error("it does not go on")
	}
	s.wantsNot("PAUSED")
}

// While the balancer is away, what was known is there, and said to be old; when it is back,
// its counters, which are less, make no rates.
func TestBalancerGone(t *testing.T) {
	s := newScreen(t, 80, 24, Options{Interval: time.Hour})
	s.pass()
	s.pass()
	s.fake.away = errors.New("ask the balancer at /run/afxlb/afxlb.sock: connection refused (is it running?)")
	s.pass()
	s.wants("no answer, was serving", "no answer since 12:00:02, all is as it was then: ask the balancer", "STALE; services: 3", "1.5k")
	s.pass()
	s.wants("since 12:00:02")
	s.press("down", "4")
	s.wants("STALE; drops", "not known: the balancer does not answer")
	s.press("1")
	s.wants("1.5k", ">dns")
	s.fake.away, s.fake.second, s.fake.started = nil, 5, noon
	s.fake.second = 45 // the time goes on, but its counters begin anew
	got := s.ask()().(sampled)
	got.sample.at = noon.Add(10 * time.Second)
	for i := range got.sample.services {
		got.sample.services[i].PacketsIn, got.sample.services[i].Flows = 3, 1
	}
	s.Update(got)
	s.wantsNot("STALE", "no answer", "1.5k", "-1")
	s.wants("up 10s", "dns             none up   0/4   200     -        -")
}

func TestNeverThere(t *testing.T) {
	s := newScreen(t, 80, 24, Options{Interval: time.Hour})
	s.wants("waiting for the balancer")
	s.fake.away = errors.New("is it running?")
	s.pass()
	s.wants("no answer since 12:00:01: is it running?", "not known")
	s.press("enter", "down", "r", ">", "/", "x", "esc", "esc", "d", "?", "x")
	s.fake.away = nil
	s.pass()
	s.wants("serving", "web ")
}

// A service that goes while it is looked at, and a backend.
func TestGone(t *testing.T) {
	s := newScreen(t, 80, 24, Options{View: backends, Service: "gone"})
	s.pass()
	s.wants(`there is no service "gone"`, "serving")
	s = newScreen(t, 80, 24, Options{View: backends, Service: "web"})
	s.pass()
	s.press("end", "enter")
	s.wants("web > b3")
	s.fake.backends = 2
	s.pass()
	s.wants("what was looked at is gone", ">b1")
}

// However many there are, only the services are asked for, and only what is on the screen
// is put into words.
func TestThousandServices(t *testing.T) {
	s := newScreen(t, 80, 24, Options{})
	s.fake.services, s.fake.backends = 1000, 20
	s.pass()
	s.pass()
	said := 0
	for i := range s.rows {
		for j := range s.rows[i].cells {
			if c := &s.rows[i].cells[j]; c.print != nil {
				c.print = func(v float64) string { said++; return amount(v) }
			}
		}
	}
	s.frame()
	if said == 0 || said > 24*len(serviceColumns) {
		t.Errorf("%d numbers were put into words for 24 lines", said)
	}
	for _, a := range s.fake.asked {
		if a != "status" && a != "services" {
			t.Errorf("asked for %s", a)
		}
	}
	s.press("end")
	s.wants(">service-999", "services: 1000")
	s.press("g", "pgdown", "pgdown")
	if s.list().cursor != 32 {
		t.Errorf("two pages down is row %d", s.list().cursor)
	}
	s.wants(">service-32")
	s.fake.services = 10
	s.pass()
	s.wants(">service-9", " web")
}

// Whatever the size and whatever is pressed, each frame fits.
func TestAnySize(t *testing.T) {
	all := []string{"1", "2", "3", "4", "5", "6", "tab", "enter", "enter", "esc", "down", "pgdown", "end", "g", "<", ">", "r", "p", "/", "w", "d", "?", "k"}
	for _, width := range []int{0, 1, 5, 20, 80, 132, 500} {
		for _, height := range []int{0, 1, 3, 5, 12, 100} {
			s := newScreen(t, width, height, Options{Order: (&changer{}).order})
			for i := range 60 {
				s.press(all[(i*7+width+height)%len(all)])
				if i%9 == 0 {
					s.pass()
				}
				lines := strings.Split(s.text(), "\n")
				if len(lines) != max(1, height) {
					t.Fatalf("%dx%d: %d lines", width, height, len(lines))
				}
				for _, l := range lines {
					if n := len([]rune(l)); n > width {
						t.Fatalf("%dx%d: a line of %d: %q", width, height, n, l)
					}
				}
			}
		}
	}
}

// The looks say nothing that words do not: a frame without them has each state.
func TestStatesAreWords(t *testing.T) {
	s := newScreen(t, 80, 24, Options{View: backends, Service: "web"})
	s.pass()
	s.wants("up", "drain", "down", "unreachable", "serving", ">b0")
	if !strings.Contains(s.frame(), bad.Styled("down       ")) {
		t.Errorf("down does not look like it:\n%q", s.frame())
	}
	plain := newScreen(t, 80, 24, Options{View: backends, Service: "web", Plain: true})
	plain.pass()
	if regexp.MustCompile(`\x1b\[[0-9;]*3[0-9]`).MatchString(plain.frame()) || plain.text() != s.text() {
		t.Errorf("it is not plain:\n%q", plain.frame())
	}
}

// On a terminal without UTF-8 there is nothing else than ASCII, where it would be.
func TestASCII(t *testing.T) {
	for _, key := range []string{"r", "?"} {
		s, ascii := newScreen(t, 80, 24, Options{}), newScreen(t, 80, 24, Options{ASCII: true})
		for _, one := range []*screen{s, ascii} {
			one.pass()
			one.press(key)
		}
		if got := ascii.text(); regexp.MustCompile("[^\x00-\x7f]").MatchString(got) || len([]rune(got)) != len([]rune(s.text())) || got == s.text() {
			t.Errorf("%q:\n%s", key, got)
		}
	}
}

// A service's state says what it falls back on.
func TestServicesStates(t *testing.T) {
	for want, s := range map[string]api.Service{
		"empty":   {},
		"all up":  {Backends: api.UpTotal{Up: 2, Total: 2}, InRotation: 2},
		"some up": {Backends: api.UpTotal{Up: 1, Total: 2}, InRotation: 1},
		"none up": {Backends: api.UpTotal{Up: 0, Total: 2}},
		"panic":   {Backends: api.UpTotal{Up: 0, Total: 2}, InRotation: 2, Fallback: "panic"},
		"backup":  {Backends: api.UpTotal{Up: 1, Total: 2}, InRotation: 1, Fallback: "backup"},
		"down":    {Backends: api.UpTotal{Up: 1, Total: 3}, Fallback: "down"},
		"drained": {Backends: api.UpTotal{Up: 2, Total: 2}},
	} {
		if got := upState(&s); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
}

// What backends say can't reach the terminal as a command.
func TestNothingForeignReachesTheTerminal(t *testing.T) {
	s := newScreen(t, 160, 24, Options{View: backends, Service: "web\x1b]0;x\a"})
	s.pass()
	s.press("down", "down", "enter")
	for _, frame := range []string{s.frame(), s.View().WindowTitle} {
		if strings.Contains(frame, "\x1b[2J") || strings.Contains(frame, "\a") {
			t.Errorf("%q", frame)
		}
	}
}

// New events appear above, and who reads an older one stays there.
func TestEventsGoOn(t *testing.T) {
	s := newScreen(t, 80, 24, Options{View: events})
	s.pass()
	s.wants(">12:00:00")
	s.pass()
	s.wants(">12:00:01")
	s.press("down", "down")
	at := s.row().key
	s.pass()
	if s.row().key != at || s.list().cursor != 3 {
		t.Errorf("the cursor is on %s at %d, was on %s", s.row().key, s.list().cursor, at)
	}
	s.press("enter")
	s.pass()
	s.wants("events > web/b39", "KIND       backend-down")
}

func TestHelpNamesEachView(t *testing.T) {
	for _, v := range Views[:backends] {
		if !strings.Contains(fmt.Sprint(keys), v) {
			t.Errorf("the help does not have %s", v)
		}
	}
	for _, v := range Views {
		if k, err := ParseView(v); err != nil || k.String() != v {
			t.Errorf("%s: %v, %v", v, k, err)
		}
	}
	if _, err := ParseView("flows"); err == nil {
		t.Error("flows is a view")
	}
}
