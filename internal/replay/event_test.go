package replay

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestEvents(t *testing.T) {
	four := []capture.Packet{at(0, syn("1")), at(time.Second, syn("2")), at(2*time.Second, syn("3")), at(3*time.Second, syn("4"))}
	const a, b = "forwarded a", "forwarded b"
	for name, test := range map[string]struct {
		kind   Kind
		events []string
		want   []string
	}{
		"nothing":             {Down, nil, []string{a, b, a, b}},
		"down from the start": {Down, []string{"web/a"}, []string{b, b, b, b}},
		"down at a second":    {Down, []string{"web/a@1"}, []string{a, b, b, b}},
		"down by duration":    {Down, []string{"a@1500ms"}, []string{a, b, b, b}},
		"down by the clock":   {Down, []string{"10.0.0.12@" + start.Add(500*time.Millisecond).Format(time.RFC3339Nano)}, []string{a, a, a, a}},
		"after the end":       {Down, []string{"web/a@3.001"}, []string{a, b, a, b}},
		"all down":            {Down, []string{"web/a@2", "web/b@2"}, []string{a, b, "replied ", "replied "}},
		"unreachable":         {Unreachable, []string{"b@0.5s"}, []string{a, a, a, a}},
		"drain":               {Drain, []string{"b@0.5s"}, []string{a, a, a, a}},
		"weight":              {Weight, []string{"b=0@0.5s", "b=1@2.5s"}, []string{a, a, a, b}},
	} {
		records, _ := play(t, four, test.kind, test.events...)
		if got := verdicts(records); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	o := options(t, twoBackends, file(t, four))
	o.Events = []Event{{Kind: Down, Backend: "web/a", After: time.Second}, {Kind: Unreachable, Backend: "a", After: time.Second}, {Kind: Up, Backend: "web/a", After: 2 * time.Second}}
	_, records, _ := replayed(t, o)
	if got, want := verdicts(records), []string{a, b, a, b}; !slices.Equal(got, want) {
		t.Errorf("down and up again: %q, want %q", got, want)
	}
}

// TestDrained: of a backend that drains, a UDP flow leaves it when its time is over, and
// not before, whatever there was in between.
func TestDrained(t *testing.T) {
	question := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", "?")
	var packets []capture.Packet
	for i := range 10 {
		packets = append(packets, at(time.Duration(i)*time.Second, question))
	}
	for name, test := range map[string]struct {
		kind   Kind
		events []string
		moved  int // first packet at the other backend
	}{
		"drain":            {Drain, []string{"dns/a@0.5"}, 3},
		"and again":        {Drain, []string{"dns/a@0.5", "dns/a@1.5"}, 3},
		"taken back":       {Weight, []string{"dns/a=0@0.5", "dns/a=1@1.5"}, 10},
		"begun once more":  {Weight, []string{"dns/a=0@0.5", "dns/a=1@1.2", "dns/a=0@3.5"}, 6},
		"with other words": {Weight, []string{"10.0.0.11=0@0.5"}, 3},
	} {
		records, _ := play(t, packets, test.kind, test.events...)
		for i, r := range records {
			if want := map[bool]string{true: "c", false: "a"}[i >= test.moved]; r.Backend != want {
				t.Errorf("%s: packet %d goes to %s, want %s", name, i, r.Backend, want)
			}
		}
	}
}

func TestParseEvent(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		kind Kind
		text string
		want Event
	}{
		{Down, "a", Event{Down, "a", 0, 0, time.Time{}}},
		{Up, "web/a@10", Event{Up, "web/a", 0, 10 * time.Second, time.Time{}}},
		{Down, "me@home@0.25", Event{Down, "me@home", 0, 250 * time.Millisecond, time.Time{}}},
		{Down, "a@1m", Event{Down, "a", 0, time.Minute, time.Time{}}},
		{Down, "a@2026-01-02T12:00:00Z", Event{Down, "a", 0, 0, noon}},
		{Weight, "a=7@1s", Event{Weight, "a", 7, time.Second, time.Time{}}},
		{Drain, "a@1s", Event{Weight, "a", 0, time.Second, time.Time{}}},
	} {
		if got, err := ParseEvent(test.kind, test.text); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
	for _, wrong := range []string{"", "@1", "a@", "a@-1", "a@soon", "a@-5s", "a@1e99"} {
		if got, err := ParseEvent(Down, wrong); err == nil {
			t.Errorf("%q: %+v", wrong, got)
		}
	}
	for _, wrong := range []string{"a", "a=", "a=x", "a=65536", "=5"} {
		if got, err := ParseEvent(Weight, wrong); err == nil {
			t.Errorf("weight %q: %+v", wrong, got)
		}
	}
}
