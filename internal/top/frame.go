package top

import (
	"fmt"
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

const (
	// margin is the column in front of rows that has the cursor's mark.
	margin = 1
	// small is the height below which a screen has no room for more than a list.
	small = 12
	// paper is the width of a frame that is not for a screen: nothing is shortened there.
	paper = 1 << 20
)

// inASCII has others, as wide, for the characters that are not ASCII of top's own, and of events.
var inASCII = strings.NewReplacer("…", "~", "→", ">", "←", "<", "↑", "^", "↓", "v")

// View is the frame: above what all views have, the list, and a line for the keys or
// what is asked.
func (m *Model) View() tea.View {
	v := tea.NewView(m.frame())
	v.AltScreen = true
	v.WindowTitle = "afxlb top"
	return v
}

func (m *Model) frame() string {
	lines := m.above()
	room := m.height - len(lines) - 1
	var body []string
	switch {
	case m.help:
		body = m.helpLines()
	case m.detail && m.row() != nil:
		body = m.detailLines()
	default:
		body = m.listLines(room)
	}
	for i := range max(0, room) {
		if i < len(body) {
			lines = append(lines, body[i])
		} else {
			lines = append(lines, "")
		}
	}
	if room < len(body) && room > 0 { // of the help and of details
		lines[len(lines)-1] = "…"
	}
	lines = append(lines, m.below())
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "…")
	}
	text := strings.Join(lines[max(0, len(lines)-max(1, m.height)):], "\n")
	if m.ascii {
		text = inASCII.Replace(text)
	}
	return text
}

// room is how many rows of the list are on the screen.
func (m *Model) room() int { return m.height - len(m.above()) - 2 }

// listLines are the titles and the rows that are on the screen: no others are put into words.
func (m *Model) listLines(room int) []string {
	v, l := m.view(), m.list()
	shown := m.shown()
	lines := []string{" " + head(v.columns, shown, l.order.by, true)}
	if text := m.nothing(); text != "" {
		return append(lines, " "+text)
	}
	for i := l.first; i < len(m.rows) && len(lines) < room; i++ {
		if i == l.cursor {
			lines = append(lines, chosen.Styled(">"+line(v.columns, shown, &m.rows[i], nil)))
		} else {
			lines = append(lines, " "+line(v.columns, shown, &m.rows[i], m.look))
		}
	}
	return lines
}

// nothing says why there is no row; empty: there are some.
func (m *Model) nothing() string {
	switch {
	case len(m.rows) > 0:
		return ""
	case m.lost != nil && (m.now == nil || m.now.question != m.list().question):
		return "not known: the balancer does not answer"
	case m.now == nil || m.now.question != m.list().question:
		return "…"
	case m.now.refused != nil:
		return clean(m.now.refused.Error())
	case m.total > 0:
		return "none of them has this text"
	}
	return m.view().empty
}

// detailLines are all of a row's columns, with nothing shortened.
func (m *Model) detailLines() []string {
	const indent = 12
	var lines []string
	for i, c := range m.view().columns {
		text := ansi.Wrap(m.row().cells[i].String(), max(10, m.width-indent), "")
		for j, part := range strings.Split(text, "\n") {
			title := ""
			if j == 0 {
				title = c.title
			}
			lines = append(lines, fmt.Sprintf(" %-*s%s", indent-1, title, part))
		}
	}
	return lines
}

func (m *Model) helpLines() []string {
	var lines []string
	for _, k := range keys {
		lines = append(lines, " "+fit(k[0], 24, true)+" "+k[1])
	}
	return append(lines, "", " Numbers are per second where their title says so; - is what is not known.", " Any key goes back.")
}

// below is the last line: what is asked, what came of it, or the keys.
func (m *Model) below() string {
	switch {
	case m.change != nil:
		return strong.Styled(m.change.question())
	case m.typing:
		return "filter: " + clean(m.list().filter) + "_   enter: keep it, esc: drop it"
	case m.said != "":
		return clean(m.said)
	case m.detail:
		return "esc back  ? help  q quit"
	}
	text := "? help  q quit  enter open  esc back  / filter  <> sort  r reverse  p pause"
	if m.order != nil && m.at == backends {
		text = "? help  q quit  esc back  d drain  e enable  w weight  / filter  <> sort"
	}
	return text
}

// print writes the frame for those who have no screen: all rows and columns, as wide as they
// are, with the first lines of a screen that is wide enough for them.
func (m *Model) print(w io.Writer) error {
	m.width, m.height = paper, small
	columns := m.view().columns
	shown := natural(columns, m.rows)
	lines := []string{m.headLine(), m.sumLine(), m.warningLine(), "", m.contextLine(), head(columns, shown, -1, false)}
	if text := m.nothing(); text != "" {
		lines = append(lines, text)
	}
	for i := range m.rows {
		lines = append(lines, line(columns, shown, &m.rows[i], nil))
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, strings.TrimRight(ansi.Strip(l), " ")); err != nil {
			return err
		}
	}
	return nil
}
