package top

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// changer takes down what it is told.
type changer struct {
	told []string
	err  error
}

func (c *changer) order(_ context.Context, o Order) (string, error) {
	text := fmt.Sprintf("%s %s/%s", o.Action, o.Service, o.Backend)
	if o.Action == "weight" {
		text += fmt.Sprint(" ", o.Weight)
	}
	c.told = append(c.told, text)
	return "done: " + text, c.err
}

// typed presses keys, and has what they start come to its end.
func (s *screen) typed(names ...string) {
	s.t.Helper()
	for _, n := range names[:len(names)-1] {
		s.press(n)
	}
	last := names[len(names)-1]
	k := tea.Key{Code: rune(last[0]), Text: last}
	if last == "enter" {
		k = tea.Key{Code: tea.KeyEnter}
	}
	if _, then := s.Update(tea.KeyPressMsg(k)); then != nil {
		if _, then = s.Update(then()); then == nil {
			s.t.Error("what has changed is not asked for")
		}
		s.answered()
	}
}

// Nothing is changed without a y to a question that names it.
func TestChange(t *testing.T) {
	c := &changer{}
	s := newScreen(t, 100, 24, Options{View: backends, Service: "web", Order: c.order})
	s.pass()
	s.wants("d drain  e enable  w weight")
	s.press("down", "d")
	s.wants("drain web/b1, which is drain?", "[y/N]")
	s.press("enter")
	s.wants("nothing was changed")
	s.press("d", "n")
	s.press("e", "q")
	s.press("w", "7", "enter", "x")
	s.press("w", "7", "esc")
	if c.told != nil {
		t.Errorf("changed %q", c.told)
	}
	s.typed("d", "y")
	s.wants("done: drain web/b1")
	s.typed("e", "y")
	s.press("w")
	s.wants("new weight of web/b1, 0 to 65535 (it is 0; esc: leave it): _")
	s.press("1", "x", "2", "3", "backspace")
	s.wants("12_")
	s.press("enter")
	s.wants("set the weight of web/b1 from 0 to 12? [y/N]")
	s.typed("y")
	if want := []string{"drain web/b1", "enable web/b1", "weight web/b1 12"}; !slices.Equal(c.told, want) {
		t.Errorf("changed %q, want %q", c.told, want)
	}
	c.err = errors.New("the group of the socket may, you may not")
	s.typed("d", "y")
	s.wants("drain of web/b1: the group of the socket")
}

// What is asked about is what was looked at when it was asked, wherever rows go.
func TestChangeOfWhatWasAskedAbout(t *testing.T) {
	c := &changer{}
	s := newScreen(t, 100, 24, Options{View: backends, Service: "web", Order: c.order})
	s.pass()
	s.press("end", "d")
	s.fake.backends = 2
	s.pass()
	s.typed("y")
	if !slices.Equal(c.told, []string{"drain web/b3"}) {
		t.Errorf("changed %q", c.told)
	}
}

func TestChangeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		o     Options
		setup []string
		away  error
		said  string
	}{
		"read-only":   {Options{View: backends, Service: "web"}, nil, nil, "read-only: start with --write"},
		"no backend":  {Options{Order: (&changer{}).order}, nil, nil, "open a service first"},
		"no balancer": {Options{View: backends, Service: "web", Order: (&changer{}).order}, nil, errors.New("gone"), "does not answer"},
		"too heavy":   {Options{View: backends, Service: "web", Order: (&changer{}).order}, []string{"w", "9", "9", "9", "9", "9", "9", "enter"}, nil, `"99999" is no weight`},
		"no weight":   {Options{View: backends, Service: "web", Order: (&changer{}).order}, []string{"w", "enter"}, nil, `"" is no weight`},
	} {
		s := newScreen(t, 100, 24, c.o)
		s.pass()
		s.fake.away = c.away
		s.pass()
		if s.press(c.setup...); c.setup == nil {
			s.press("d")
		}
		if s.change != nil || !strings.Contains(s.text(), c.said) {
			t.Errorf("%s: no %q in\n%s", name, c.said, s.text())
		}
	}
}
