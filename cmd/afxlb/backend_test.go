package main

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// changing is a balancer whose backend web/b0 is as one of these says at each look, and as
// the last one from then on.
type changing struct {
	fake
	mu     *sync.Mutex
	orders *[]api.BackendOrder
	looks  *[]api.Backend
	done   api.BackendChanged
}

func newChanging(looks ...api.Backend) changing {
	return changing{mu: &sync.Mutex{}, orders: &[]api.BackendOrder{}, looks: &looks, done: api.BackendChanged{
		Generation: 9, Service: "web", Backend: "b0", Address: "10.0.0.11:8080", Kept: true,
		Old: api.BackendSetting{State: "up", Weight: 3}, New: api.BackendSetting{State: "drain", Override: "drain"},
	}}
}

func (c changing) Change(_ context.Context, order api.BackendOrder) (api.BackendChanged, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.orders = append(*c.orders, order)
	return c.done, nil
}

// Services has the service by its name at the next look, and another one by the name that it had.
func (c changing) Services() []api.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []api.Service{{Name: cmp.Or((*c.looks)[0].Service, "web"), Address: "192.0.2.10"}}
	if list[0].Name != "web" {
		list = append(list, api.Service{Name: "web", Address: "192.0.2.11"})
	}
	return list
}

func (c changing) Backends(service string) iter.Seq[api.Backend] {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := (*c.looks)[0]
	if service != "" && service != cmp.Or(b.Service, "web") { // the other one's
		return slices.Values([]api.Backend{{Service: service, Name: "b0", Address: "10.0.0.11", Port: "8080", State: "up"}})
	}
	if len(*c.looks) > 1 {
		*c.looks = (*c.looks)[1:]
	}
	b.Service = service
	if b.Address == "" {
		b.Address, b.Port = "10.0.0.11", "8080"
	}
	return slices.Values([]api.Backend{b})
}

// left is a backend with so many flows that drains.
func left(n int64) api.Backend { return api.Backend{Name: "b0", State: "drain", Live: n} }

// Each verb asks for what it says, and prints what came of it.
func TestBackendOrders(t *testing.T) {
	for line, want := range map[string]api.BackendOrder{
		"drain web a":              {Service: "web", Backend: "a", Action: "drain"},
		"disable web a --volatile": {Service: "web", Backend: "a", Action: "disable", Volatile: true},
		"enable web 10.0.0.11:80":  {Service: "web", Backend: "10.0.0.11:80", Action: "enable"},
		"weight web a":             {Service: "web", Backend: "a", Action: "weight"},
		"weight web a 0":           {Service: "web", Backend: "a", Action: "weight", Weight: new(0)},
		"weight web a 65535":       {Service: "web", Backend: "a", Action: "weight", Weight: new(65535)},
	} {
		c := newChanging(left(0))
		c.done.Slots, c.done.Moved, c.done.Kept, c.done.Warnings = 65537, 16384, !want.Volatile, []string{"beware"}
		code, stdout, stderr := cli(append(append([]string{"backend"}, strings.Fields(line)...), "--socket", fakeSocket(t, c))...)
		text := "web/b0 (10.0.0.11:8080): up, weight 3 → drain, weight 0 (override), generation 9\n25.00% of the hash slots move: 16384 of 65537\n"
		if want.Volatile {
			text += "it is not kept over a restart\n"
		}
		if code != exitDone || stdout != text || stderr != "afxlb: warning: beware\n" {
			t.Errorf("%s: exit code %d, %q, %q", line, code, stdout, stderr)
		}
		if len(*c.orders) != 1 {
			t.Fatalf("%s: asked for %+v", line, *c.orders)
		}
		got := (*c.orders)[0]
		if (got.Weight == nil) != (want.Weight == nil) || got.Weight != nil && *got.Weight != *want.Weight {
			t.Errorf("%s: asked for weight %v", line, got.Weight)
		}
		if got.Weight = want.Weight; got != want {
			t.Errorf("%s: asked for %+v, want %+v", line, got, want)
		}
	}
	code, stdout, _ := cli("backend", "drain", "web", "b0", "--json", "--socket", fakeSocket(t, newChanging(left(0))))
	if code != exitDone || !strings.Contains(stdout, `"kept": true`) || !strings.HasPrefix(stdout, "{\n") {
		t.Errorf("--json: exit code %d, %q", code, stdout)
	}
}

func TestWrongBackendOrders(t *testing.T) {
	for line, says := range map[string]string{
		"":                               "wants one of drain, disable, enable and weight",
		"kill web a":                     "wants one of drain",
		"drain web":                      "SERVICE BACKEND",
		"drain web a 5":                  "SERVICE BACKEND",
		"weight web a b c":               "SERVICE BACKEND",
		"weight web a 65536":             "from 0 to 65535",
		"weight web a 1.5":               "from 0 to 65535",
		"drain web a --timeout 0":        "above 0",
		"drain web a --timeout -5s":      "above 0",
		"drain web a --timeout tomorrow": "timeout",
	} {
		c := newChanging(left(0))
		args := append([]string{"backend"}, strings.Fields(line)...)
		if _, named, _ := strings.Cut(says, "wants one of"); named == "" { // else it is none that asks anybody
			args = append(args, "--socket", fakeSocket(t, c))
		}
		if code, _, stderr := cli(args...); code != exitUsage || !strings.Contains(stderr, says) || len(*c.orders) != 0 {
			t.Errorf("%q: exit code %d, %q, asked for %+v", line, code, stderr, *c.orders)
		}
	}
}

// The wait ends with the flows, with its time, or when there is nothing to wait for any more.
func TestDrainWait(t *testing.T) {
	for name, c := range map[string]struct {
		args  string
		looks []api.Backend
		code  int
		says  string // at the end of stdout
		warns string
	}{
		"until none is left":  {"--wait", []api.Backend{left(2), left(1), left(1), left(0)}, exitDone, "no flow of web/b0 left\n", ""},
		"none from the start": {"--timeout 1h", []api.Backend{left(0)}, exitDone, "no flow of web/b0 left\n", ""},
		"the time is over":    {"--timeout 1s", []api.Backend{left(5)}, exitPartly, "5 flows of web/b0 left\n", "the time is over, with 5 flows of web/b0 left; it goes on draining"},
		"nobody has looked":   {"--timeout 1ms", []api.Backend{left(5)}, exitPartly, "generation 9\n", "with not known how many flows"},
		"enabled meanwhile":   {"--wait", []api.Backend{left(1), {Name: "b0", State: "up", Weight: 3, Live: 7}}, exitFailed, "1 flow of web/b0 left\n", "somebody has ended the drain: it is up, with weight 3"},
		"down meanwhile":      {"--wait", []api.Backend{left(1), {State: "down", Override: "drain, weight 5", Name: "b0", Live: 1}, {State: "unreachable", Override: "drain", Name: "b0"}}, exitDone, "no flow of web/b0 left\n", ""},
		"a weight meanwhile":  {"--wait", []api.Backend{{Name: "b0", State: "up", Override: "weight 9", Live: 1}}, exitFailed, "generation 9\n", "somebody has ended the drain"},
		"gone meanwhile":      {"--wait", []api.Backend{left(1), {Name: "b9", Address: "10.0.0.12", Port: "same"}}, exitPartly, "1 flow of web/b0 left\n", "web/b0 (10.0.0.11:8080): done, but not all of it: it is not in the config any more; 1 flow left at the last look"},
		"renamed meanwhile":   {"--wait", []api.Backend{left(2), {Name: "b9", State: "drain", Live: 0}}, exitDone, "no flow of web/b0 left\n", ""},
		"with its service":    {"--wait", []api.Backend{left(2), {Service: "shop", Name: "b9", State: "drain", Live: 0}}, exitDone, "no flow of web/b0 left\n", ""},
		"another's name": {"--wait", []api.Backend{left(1), {Name: "b0", Address: "10.0.0.12", Port: "8080", State: "up", Weight: 3}}, exitPartly,
			"1 flow of web/b0 left\n", "it is not in the config any more"},
		"without a wait": {"", []api.Backend{left(5)}, exitDone, "generation 9\n", ""},
	} {
		socket := fakeSocket(t, newChanging(c.looks...))
		code, stdout, stderr := cli(append(strings.Fields("backend drain web b0 "+c.args), "--socket", socket)...)
		if code != c.code || !strings.HasSuffix(stdout, c.says) || !strings.Contains(stderr, c.warns) || c.warns == "" && stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
}

// Who interrupts the wait is told that the drain goes on.
func TestDrainWaitInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var out, err bytes.Buffer
	out.Grow(1 << 10)
	seen := &watched{w: &out, on: "3 flows", then: interrupt}
	code := run(ctx, &env{stdout: seen, stderr: &err}, []string{"backend", "drain", "web", "b0", "--wait", "--socket", fakeSocket(t, newChanging(left(3)))})
	if code != exitPartly || !strings.Contains(err.String(), "the wait was interrupted, with 3 flows of web/b0 left; it goes on draining") {
		t.Errorf("exit code %d, %q, %q", code, out.String(), err.String())
	}
}

// watched calls then once a text is written.
type watched struct {
	w    *bytes.Buffer
	on   string
	then func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if strings.Contains(w.w.String(), w.on) {
		w.then()
	}
	return n, err
}

// On a terminal there is one line, and elsewhere one for each change, but not too often; the
// last is there in any case.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{to: &out}
	for _, text := range []string{"3", "3", "2", "1", "0"} {
		p.say(text, 0)
	}
	p.end()
	p.end()
	if out.String() != "3\n0\n" {
		t.Errorf("elsewhere: %q", out.String())
	}
	out.Reset()
	p = &progress{to: &out, terminal: true}
	p.say("3", 1700*time.Millisecond)
	p.say("0", 2*time.Second)
	p.end()
	p.end()
	if out.String() != "\r\x1b[K3, after 1s\r\x1b[K0, after 2s\n" {
		t.Errorf("on a terminal: %q", out.String())
	}
}

// What operators have changed is marked as such.
func TestOverridesInTables(t *testing.T) {
	for want, b := range map[string]api.Backend{
		" 3 up 0":                     {State: "up", Weight: 3},
		" 0 drain (override) 0":       {State: "drain", Override: "drain"},
		" 5 (override) up 0":          {State: "up", Weight: 5, Override: "weight 5"},
		" 0 disabled (override) 0":    {State: "disabled", Override: "disabled, weight 5"},
		" 0 down (override: drain) 0": {State: "down", Override: "drain, weight 5"},
	} {
		b.Name = "b0"
		_, stdout, _ := cli("backends", "--socket", fakeSocket(t, newChanging(b)))
		if text := strings.Join(strings.Fields(stdout), " "); !strings.Contains(text, want) {
			t.Errorf("%+v: %s, want %q", b, text, want)
		}
	}
	list := []api.Override{{Service: "web", Backend: "a", Setting: "drain", Kept: true}, {Service: "web", Backend: "b", Setting: "weight 5"}}
	if got := overrides(list); got != "web/a drain; web/b weight 5 (not kept over a restart)" {
		t.Error(got)
	}
	if got := overrides(append(list, make([]api.Override, 7)...)); !strings.HasSuffix(got, "and 4 more") {
		t.Error(got)
	}
}

func TestSettingText(t *testing.T) {
	for want, s := range map[string]api.BackendSetting{
		"up, weight 1":                                      {State: "up", Weight: 1},
		"up, weight 5 (override)":                           {State: "up", Weight: 5, Override: "weight 5"},
		"drain, weight 0 (override)":                        {State: "drain", Override: "drain"},
		"drain, weight 0 (override: drain, weight 5)":       {State: "drain", Override: "drain, weight 5"},
		"down, weight 0 (override: drain)":                  {State: "down", Override: "drain"},
		"disabled, weight 0 (override: disabled, weight 0)": {State: "disabled", Override: "disabled, weight 0"},
	} {
		if got := settingText(&s); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
}
