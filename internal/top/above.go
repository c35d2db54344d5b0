package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/afxlb/afxlb/internal/api"
)

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
