package top

import (
	"context"
	"fmt"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Order is a change of a backend that the user wants.
type Order struct {
	Service, Backend string // by their names
	Action           string // drain, enable, weight
	Weight           int    // of the action weight
}

// actions are those of the keys.
var actions = map[string]string{"d": "drain", "e": "enable", "w": "weight"}

const (
	// maxWeight is the largest that a backend may have.
	maxWeight = 65535
	// orderTime bounds a change: until the table that has it is in force.
	orderTime = time.Minute
)

// change is an order that is asked about. It names its backend, so that the cursor's moving
// on does not make it another's.
type change struct {
	Order
	state, weight string // as they are
	input         string // the new weight, as far as it is typed
	sure          bool   // it is asked whether it is meant, no more how much
}

// changed says what came of a change.
type changed struct{ text string }

// propose begins a change of the backend that the cursor is on.
func (m *Model) propose(key string) {
	r := m.row()
	switch {
	case m.at != backends:
		m.said = "drain, enable and weight are of a backend: open a service first"
	case r == nil:
		m.said = "there is no backend here"
	case m.order == nil:
		m.said = "read-only: start with --write to change a backend"
	case m.lost != nil:
		m.said = "the balancer does not answer"
	default:
		m.change = &change{Order: Order{Service: m.list().service, Backend: r.name, Action: actions[key]},
			state: r.cells[1].String(), weight: r.cells[3].String(), sure: key != "w"}
	}
}

// question is what is asked.
func (c *change) question() string {
	name := clean(c.Service + "/" + c.Backend)
	switch {
	case !c.sure:
		return fmt.Sprintf("new weight of %s, 0 to %d (it is %s; esc: leave it): %s_", name, maxWeight, c.weight, c.input)
	case c.Action == "weight":
		return fmt.Sprintf("set the weight of %s from %s to %d? [y/N]", name, c.weight, c.Weight)
	case c.Action == "drain":
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
	ctx, order := m.ctx, m.order
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, orderTime)
		defer cancel()
		text, err := order(ctx, c.Order)
		if err != nil {
			text = fmt.Sprintf("%s of %s/%s: %v", c.Action, c.Service, c.Backend, err)
		}
		return changed{text}
	}
}

// typeWeight takes in a key of the new weight.
func (m *Model) typeWeight(key, text string) {
	c := m.change
	switch {
	case key == "enter":
		n, err := strconv.Atoi(c.input)
		if err != nil || n > maxWeight {
			m.change, m.said = nil, fmt.Sprintf("%q is no weight: want 0 to %d", c.input, maxWeight)
			return
		}
		c.Weight, c.sure = n, true
	case key == "backspace":
		c.input = c.input[:max(0, len(c.input)-1)]
	case len(text) == 1 && text >= "0" && text <= "9" && len(c.input) < len(strconv.Itoa(maxWeight)):
		c.input += text
	}
}
