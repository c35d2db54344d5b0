package top

import (
	"context"
	"fmt"
	"strconv"

	tea "charm.land/bubbletea/v2"
)

// Changer changes a backend of a running balancer. What it returns says what has changed,
// for people.
type Changer interface {
	Drain(ctx context.Context, service, backend string) (string, error)
	Enable(ctx context.Context, service, backend string) (string, error)
	SetWeight(ctx context.Context, service, backend string, weight int) (string, error)
}

// maxWeight is the largest that a backend may have.
const maxWeight = 65535

// change is one that is asked about. It names its backend, so that the cursor's moving on
// does not make it another's.
type change struct {
	key              string // that began it
	service, backend string
	state, weight    string // as they are
	input            string // the new weight, as far as it is typed
	sure             bool   // it was asked whether it is meant
}

// changed says what came of a change.
type changed struct{ text string }

// propose begins a change of the backend that the cursor is on.
func (m *Model) propose(key string) {
	r := m.row()
	switch {
	case m.at != backends || r == nil:
		m.said = "drain, enable and weight are of a backend: open a service first"
	case m.changer == nil:
		m.said = "read-only: start with --write to change a backend"
	case m.lost != nil:
		m.said = "the balancer does not answer"
	default:
		m.change = &change{key: key, service: m.list().service, backend: r.name,
			state: r.cells[1].String(), weight: r.cells[3].String(), sure: key != "w"}
	}
}

// question is what is asked.
func (c *change) question() string {
	name := clean(c.service + "/" + c.backend)
	switch {
	case !c.sure:
		return fmt.Sprintf("new weight of %s, 0 to %d (it is %s; esc: leave it): %s_", name, maxWeight, c.weight, c.input)
	case c.key == "w":
		return fmt.Sprintf("set the weight of %s from %s to %s? [y/N]", name, c.weight, c.input)
	case c.key == "d":
		return fmt.Sprintf("drain %s, which is %s? It keeps its flows and gets no new ones. [y/N]", name, c.state)
	}
	return fmt.Sprintf("enable %s, which is %s? [y/N]", name, c.state)
}

// answer takes in a key while a change is asked about. All but y is no.
func (m *Model) answer(key, text string) tea.Cmd {
	c := m.change
	if !c.sure && key != "esc" {
		m.typeWeight(key, text)
		return nil
	}
	m.change = nil
	if key != "y" && key != "Y" {
		m.said = "nothing was changed"
		return nil
	}
	m.said = "…"
	changer, ctx := m.changer, m.ctx
	return func() tea.Msg { return changed{c.make(ctx, changer)} }
}

// typeWeight takes in a key of the new weight.
func (m *Model) typeWeight(key, text string) {
	c := m.change
	switch {
	case key == "enter":
		if n, err := strconv.Atoi(c.input); err != nil || n > maxWeight {
			m.change, m.said = nil, fmt.Sprintf("%q is no weight: want 0 to %d", c.input, maxWeight)
			return
		}
		c.sure = true
	case key == "backspace":
		c.input = c.input[:max(0, len(c.input)-1)]
	case len(text) == 1 && text >= "0" && text <= "9" && len(c.input) < len(strconv.Itoa(maxWeight)):
		c.input += text
	}
}

// make makes the change, and says what came of it.
func (c *change) make(ctx context.Context, by Changer) string {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var text string
	var err error
	switch c.key {
	case "d":
		text, err = by.Drain(ctx, c.service, c.backend)
	case "e":
		text, err = by.Enable(ctx, c.service, c.backend)
	case "w":
		weight, _ := strconv.Atoi(c.input) // typeWeight has seen to it
		text, err = by.SetWeight(ctx, c.service, c.backend, weight)
	}
	if err != nil {
		return "nothing was changed: " + err.Error()
	}
	return text
}
