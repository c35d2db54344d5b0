package top

import (
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/afxlb/afxlb/internal/api"
)

const (
	// margin is the column in front of rows that has the cursor's mark.
	margin = 1
	// small is the height below which a screen has no room for more than a list.
	small = 12
	// paper is the width of a frame that is not for a screen: nothing is shortened there.
	paper = 1 << 20
)

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
	return strings.Join(lines[max(0, len(lines)-max(1, m.height)):], "\n")
}

// room is how many rows of the list are on the screen.
func (m *Model) room() int { return m.height - len(m.above()) - 2 }

// above is what stands above the list.
func (m *Model) above() []string {
	lines := []string{m.headLine()}
	if m.height >= small {
		lines = append(lines, m.sumLine(), m.warningLine(), m.tabLine())
	}
	return append(lines, m.contextLine())
}

// headLine says who is looked at, and as of when.
func (m *Model) headLine() string {
	if m.now == nil {
		return strong.Styled("afxlb")
	}
	s := &m.now.status
	state := m.look(s.State).Styled(s.State)
	if m.lost != nil {
		state = m.look("no answer").Styled("no answer") + ", was " + s.State
	}
	text := fmt.Sprintf("%s %s  %s  up %s  generation %d", strong.Styled("afxlb"), clean(s.Version), state, ago(m.now.at.Sub(s.Started)), s.Generation)
	clock := m.now.at.Local().Format(time.TimeOnly)
	space := m.width - ansi.StringWidth(text) - len(clock)
	if m.width == paper {
		space = 2
	}
	if space < 2 {
		return text
	}
	return text + strings.Repeat(" ", space) + clock
}

// sumLine has the sums over all services and workers.
func (m *Model) sumLine() string {
	if m.now == nil {
		return ""
	}
	p := pairOf(m.now, m.before)
	was, is, rate := p.before.sums(), p.now.sums(), rater(p.d > 0, p.d)
	received, forwarded, dropped := rate(was.Received, is.Received), rate(was.Forwarded, is.Forwarded), rate(was.Dropped, is.Dropped)
	s := &m.now.status
	text := fmt.Sprintf("services %d/%d up  backends %d/%d up  flows %s of %s  pkt/s: %s in, %s forwarded, %s dropped",
		s.Services.Up, s.Services.Total, s.Backends.Up, s.Backends.Total,
		amount(float64(s.Flows.Flows)), amount(float64(s.Flows.MaxFlows+s.Flows.MaxEmbryonic)), amount(received), amount(forwarded), amount(dropped))
	if ansi.StringWidth(text) <= m.width {
		return text
	}
	return fmt.Sprintf("up: %d/%d services, %d/%d backends  flows %s  pkt/s %s in %s fwd %s drop",
		s.Services.Up, s.Services.Total, s.Backends.Up, s.Backends.Total, amount(float64(s.Flows.Flows)), amount(received), amount(forwarded), amount(dropped))
}

// sums is a worker with the counts of all.
func (s *sample) sums() (sum api.Worker) {
	for i := range s.status.Workers {
		w := &s.status.Workers[i]
		sum.Received += w.Received
		sum.Forwarded += w.Forwarded
		sum.Dropped += w.Dropped
	}
	return sum
}

// warningLine has what is the matter, the worst of it.
func (m *Model) warningLine() string {
	switch {
	case m.lost != nil && m.now == nil:
		return m.look("no answer").Styled(fmt.Sprintf("no answer since %s: %s", m.lostAt.Local().Format(time.TimeOnly), clean(m.lost.Error())))
	case m.lost != nil:
		return m.look("no answer").Styled(fmt.Sprintf("no answer since %s, all is as it was then: %s", m.lostAt.Local().Format(time.TimeOnly), clean(m.lost.Error())))
	case m.now == nil:
		return "waiting for the balancer's answer"
	}
	s := &m.now.status
	if len(s.Warnings) == 0 {
		return "no warnings"
	}
	more := ""
	if n := len(s.Warnings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more: 6)", n)
	}
	text := ansi.Truncate(clean("warning: "+s.Warnings[0].Text), max(0, m.width-len(more)), "…")
	return m.look("warn").Styled(text) + more
}

// tabLine names the views and the keys that open them.
func (m *Model) tabLine() string {
	var tabs []string
	for k := range backends {
		text := fmt.Sprintf("%d %s", k+1, k)
		if k == warnings && m.now != nil && len(m.now.status.Warnings) > 0 {
			text += fmt.Sprintf(" (%d)", len(m.now.status.Warnings))
		}
		if k == m.tab() {
			text = chosen.Styled("[" + text + "]")
		} else {
			text = " " + text + " "
		}
		tabs = append(tabs, text)
	}
	return strings.Join(tabs, "")
}

// contextLine says what the list is of, and how it is shown.
func (m *Model) contextLine() string {
	l := m.list()
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if m.lost != nil {
		add("STALE")
	}
	if m.paused {
		add("PAUSED")
	}
	name := m.at.String()
	if m.at == backends {
		name = "backends of " + clean(l.service)
	}
	switch {
	case m.help:
		name = "help"
	case m.detail && m.row() != nil:
		name += " > " + clean(m.row().name)
	case l.filter != "":
		name += fmt.Sprintf(": %d of %d with %q", len(m.rows), m.total, clean(l.filter))
	case m.total > 0:
		name += fmt.Sprintf(": %d", m.total)
	}
	add("%s", name)
	if by := l.order.by; by >= 0 && !m.detail && !m.help {
		order := "%s, least first"
		if l.order.down {
			order = "%s, most first"
		}
		add(order, m.view().columns[by].title)
	}
	if hidden := len(m.view().columns) - len(m.shown()); hidden > 0 && !m.detail && !m.help {
		add("%d more columns where it is wider", hidden)
	}
	return strings.Join(parts, "; ")
}

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
	if m.changer != nil && m.at == backends {
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
