package top

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/afxlb/afxlb/internal/api"
)

// living is a fake whose every answer is a second later than the one before; it says when
// it is asked.
type living struct {
	fake
	asked chan struct{}
}

func (l *living) Status(ctx context.Context) (api.Status, error) {
	l.second++
	s, err := l.fake.Status(ctx)
	select {
	case l.asked <- struct{}{}:
	default:
	}
	return s, err
}

func newLiving() *living {
	return &living{fake{services: 3, backends: 4, second: 40, started: noon.Add(-time.Hour)}, make(chan struct{}, 1)}
}

// One frame has all rows and columns and the rates between two samples, and nothing but text.
func TestOnce(t *testing.T) {
	var out bytes.Buffer
	if err := Once(t.Context(), &out, newLiving(), Options{Interval: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"afxlb v1.4.0  serving", "warning: no backend in rotation: dns", "services: 3\nSERVICE", "bit/s OUT\n",
		"\na-service-whose-name-is-longer-than-its-column some up", "[2001:db8:1234:5678:9abc:def0:1234:5678]:8000-8099"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if s := out.String(); strings.ContainsAny(s, "…\x1b>") || strings.Contains(s, " - ") || strings.Contains(s, " \n") {
		t.Errorf("something is shortened, coloured, unknown or too long:\n%s", s)
	}
}

func TestOnceWithout(t *testing.T) {
	away := newLiving()
	away.away = errors.New("is it running?")
	if err := Once(t.Context(), io.Discard, away, Options{}); !errors.Is(err, away.away) {
		t.Errorf("%v", err)
	}
	if err := Once(t.Context(), io.Discard, newLiving(), Options{View: backends, Service: "gone"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Once(ctx, io.Discard, newLiving(), Options{Interval: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	from := newLiving()
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	if err := Once(ctx, &out, &interrupted{from, cancel}, Options{}); err != nil || !strings.Contains(out.String(), "services: 3") || !strings.Contains(out.String(), " - ") {
		t.Errorf("interrupted: %v\n%s", err, &out)
	}
}

// interrupted is one whose asker is interrupted as it asks for the second time.
type interrupted struct {
	*living
	cancel func()
}

func (i *interrupted) Status(ctx context.Context) (api.Status, error) {
	if i.second > newLiving().second {
		i.cancel()
		return api.Status{}, ctx.Err()
	}
	return i.living.Status(ctx)
}

// wire is a slow line: what is sent over it, and how much.
type wire struct {
	mu sync.Mutex
	bytes.Buffer
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Buffer.Write(b)
}

func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.Reset()
	return w.String()
}

// After the first frame only what differs goes over the line.
func TestLittleIsSent(t *testing.T) {
	var line wire
	from := newLiving()
	p := tea.NewProgram(New(t.Context(), from, Options{Interval: 300 * time.Millisecond}), tea.WithContext(t.Context()), tea.WithInput(nil), tea.WithOutput(&line),
		tea.WithWindowSize(80, 24), tea.WithEnvironment([]string{"TERM=xterm-256color"}), tea.WithoutSignals())
	ended := make(chan error, 1)
	go func() { _, err := p.Run(); ended <- err }()
	first := ""
	for more := 2; more > 0; first += line.take() { // two more when the whole frame has been there
		if <-from.asked; strings.Contains(first, "a-service-whos") {
			more--
		}
	}
	const ticks = 4
	for range ticks {
		<-from.asked
	}
	rest := line.take()
	p.Quit()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(first, "a-service-whos") || len(first) < 800 {
		t.Errorf("the first frames: %q", first)
	}
	if n := len(rest) / ticks; n == 0 || n > 200 || strings.Contains(rest, "a-service-whos") {
		t.Errorf("%d bytes a tick, want 200 at most: %q", n, rest)
	}
}
