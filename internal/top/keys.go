package top

import (
	"slices"

	tea "charm.land/bubbletea/v2"
)

// keys is the help.
var keys = [][2]string{
	{"1 … 6, tab", "services, workers, ports, drops, events, warnings"},
	{"↑ ↓ k j, PgUp PgDn, g G", "to another row"},
	{"enter", "a service's backends; of the rest all that is known"},
	{"esc", "back; and out of the filter"},
	{"/", "filter: only rows with this text"},
	{"← → < >", "sort by another column"},
	{"r", "sort the other way round"},
	{"space, p", "pause, and go on"},
	{"d, e, w", "drain, enable, weigh a backend (with --write)"},
	{"?", "this help"},
	{"q", "quit"},
}

// press obeys a key.
func (m *Model) press(k tea.KeyPressMsg) tea.Cmd {
	key := k.String()
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case key == "ctrl+z":
		return tea.Suspend
	case m.change != nil:
		return m.answer(key, k.Text)
	case m.typing:
		m.typeFilter(key, k.Text)
		return nil
	case m.help:
		m.help = false
		if key == "q" {
			return tea.Quit
		}
		return nil
	}
	m.said = ""
	l, page := m.list(), max(1, m.room()-1)
	switch key {
	case "q":
		return tea.Quit
	case "?", "h", "f1":
		m.help = true
	case "1", "2", "3", "4", "5", "6":
		return m.open(Kind(key[0] - '1'))
	case "tab":
		return m.open((m.tab() + 1) % backends)
	case "shift+tab":
		return m.open((m.tab() + backends - 1) % backends)
	case "up", "k":
		m.move(l.cursor - 1)
	case "down", "j":
		m.move(l.cursor + 1)
	case "pgup", "ctrl+b":
		m.move(l.cursor - page)
	case "pgdown", "ctrl+f":
		m.move(l.cursor + page)
	case "home", "g":
		m.move(0)
	case "end", "G":
		m.move(len(m.rows) - 1)
	case "enter":
		return m.enter()
	case "esc":
		return m.leave()
	case "/":
		m.typing, m.detail = true, false
	case "left", "<":
		m.sortBy(-1)
	case "right", ">":
		m.sortBy(+1)
	case "r":
		l.order.down = !l.order.down
		m.fill()
	case "space", "p":
		if m.paused = !m.paused; !m.paused {
			return m.ask()
		}
	case "d", "e", "w":
		m.propose(key)
	}
	return nil
}

// tab is the list that is open, of those that have a key.
func (m *Model) tab() Kind {
	if m.at == backends {
		return services
	}
	return m.at
}

func (m *Model) move(to int) {
	m.list().cursor = max(0, min(to, len(m.rows)-1))
}

// typeFilter takes in a key of the filter.
func (m *Model) typeFilter(key, text string) {
	switch l := m.list(); key {
	case "enter":
		m.typing = false
	case "esc":
		m.typing = false
		m.setFilter("")
	case "backspace":
		if r := []rune(l.filter); len(r) > 0 {
			m.setFilter(string(r[:len(r)-1]))
		}
	case "ctrl+u":
		m.setFilter("")
	default:
		if text != "" {
			m.setFilter(l.filter + text)
		}
	}
}

// sortBy sorts by the next of the columns on the screen, or the one before; beside the
// first of them there is the balancer's own order. Numbers, which are at the right of their
// columns, begin with the largest.
func (m *Model) sortBy(step int) {
	l := m.list()
	order := []int{-1}
	for _, p := range m.shown() {
		order = append(order, p.column)
	}
	i := max(0, slices.Index(order, l.order.by))
	if l.order.by = order[(i+step+len(order))%len(order)]; l.order.by < 0 {
		l.order.down = m.at == events // the newest first
	} else {
		l.order.down = !m.view().columns[l.order.by].left
	}
	m.fill()
}
