package top

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Options are how top begins.
type Options struct {
	Interval time.Duration // between two samples
	View     Kind
	Service  string // of the view of backends: whose
	Plain    bool   // without colours
	ASCII    bool   // without characters of its own that are not ASCII
	// Order makes a change, and says what has changed, for people; nil: top only reads.
	Order func(context.Context, Order) (string, error)
}

// list is a view as it is looked at.
type list struct {
	question
	order    order
	filter   string // in small letters
	selected string // the key of the row that the cursor is on
	cursor   int    // its place
	first    int    // the place of the first row on the screen
}

func newList(q question) list { return list{question: q, order: views[q.kind].order} }

// Model is what is known and looked at.
type Model struct {
	from     Source
	ctx      context.Context // of what it asks
	interval time.Duration
	plain    bool
	ascii    bool
	order    func(context.Context, Order) (string, error) // nil: it only reads

	width, height int

	now, before *sample // before of now; nil: none
	lost        error   // why there is no answer now
	lostAt      time.Time
	asked       int // the number of the sample that is waited for
	paused      bool

	lists  [numKinds]list
	at     Kind
	detail bool // of the row that the cursor is on
	help   bool
	rows   []row // of the list, as it is filtered and sorted
	total  int   // how many there are without the filter
	wide   []int // how wide their texts are, by column

	typing bool    // the filter
	change *change // that is asked about; nil: none
	said   string  // what came of the last key that did something, until the next
}

// New returns a model that asks a source, within a context.
func New(ctx context.Context, from Source, o Options) *Model {
	m := &Model{from: from, ctx: ctx, interval: o.Interval, order: o.Order, plain: o.Plain, ascii: o.ASCII, width: 80, height: 24, at: o.View}
	for k := range numKinds {
		m.lists[k] = newList(question{kind: k})
	}
	m.lists[backends].service = o.Service
	m.fill()
	return m
}

func (m *Model) list() *list { return &m.lists[m.at] }
func (m *Model) view() *view { return &views[m.at] }

// sampled is a sample, or why there is none.
type sampled struct {
	number int
	sample *sample
	err    error
	at     time.Time
}

// tick says that it is time for the next sample.
type tick struct{ number int }

// Init asks for the first sample.
func (m *Model) Init() tea.Cmd { return m.ask() }

// ask has the next sample taken. What was asked for before and comes later is not taken.
func (m *Model) ask() tea.Cmd {
	m.asked++
	number, q, from, ctx := m.asked, m.list().question, m.from, m.ctx
	return func() tea.Msg {
		s, err := ask(ctx, from, q)
		return sampled{number, s, err, time.Now()}
	}
}

// Update takes in what has come.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var then tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case sampled:
		if msg.number != m.asked {
			return m, nil
		}
		m.take(msg)
		then = tea.Tick(m.interval, func(time.Time) tea.Msg { return tick{msg.number} })
	case tick:
		if msg.number != m.asked || m.paused {
			return m, nil
		}
		then = m.ask()
	case changed:
		m.said = msg.text
		then = m.ask()
	case tea.KeyPressMsg:
		then = m.press(msg)
	case tea.PasteMsg:
		if m.typing {
			m.setFilter(m.list().filter + clean(msg.Content))
		}
	}
	m.settle()
	return m, then
}

// take takes in a sample. One that there is not leaves what is known as it is.
func (m *Model) take(s sampled) {
	if s.err != nil {
		if m.lost == nil {
			m.lostAt = s.at
			if m.now != nil {
				m.lostAt = m.now.at
			}
		}
		m.lost = s.err
		return
	}
	m.lost = nil
	m.before, m.now = m.now, s.sample
	m.fill()
}

// fill makes the rows of the list anew.
func (m *Model) fill() {
	m.rows, m.total, m.wide = nil, 0, widths(m.view().columns, nil)
	if m.now == nil || m.now.question != m.list().question {
		return // it is on its way
	}
	m.rows = m.view().rows(pairOf(m.now, m.before))
	m.total, m.wide = len(m.rows), widths(m.view().columns, m.rows)
	if l := m.list(); l.filter != "" {
		m.rows = slices.DeleteFunc(m.rows, func(r row) bool { return !r.matches(l.filter) })
	}
	m.list().order.sort(m.rows)
	m.find()
}

// find has the cursor follow its row; if that is gone, it stays at its place. Who looks at
// the newest event goes on to do that.
func (m *Model) find() {
	l := m.list()
	if m.at == events && l.cursor == 0 && !m.detail {
		return
	}
	if i := slices.IndexFunc(m.rows, func(r row) bool { return r.key == l.selected }); i >= 0 {
		l.cursor = i
	} else if m.detail {
		m.detail, m.said = false, "what was looked at is gone"
	}
}

// settle keeps the cursor on a row, and that on the screen.
func (m *Model) settle() {
	l := m.list()
	if len(m.rows) == 0 {
		return
	}
	l.cursor = max(0, min(l.cursor, len(m.rows)-1))
	l.selected = m.rows[l.cursor].key
	room := max(1, m.room())
	l.first = max(l.cursor-room+1, min(l.first, l.cursor), 0)
	l.first = max(0, min(l.first, len(m.rows)-room))
}

// shown are the columns that the screen has room for.
func (m *Model) shown() []place {
	return layout(m.view().columns, m.wide, m.width-margin)
}

// row is the one that the cursor is on; nil: there is none.
func (m *Model) row() *row {
	if l := m.list(); l.cursor < len(m.rows) {
		return &m.rows[l.cursor]
	}
	return nil
}

// open goes to a list.
func (m *Model) open(k Kind) tea.Cmd {
	m.at, m.detail = k, false
	m.fill()
	return m.ask()
}

// enter goes down: from a service to its backends, from all else to its details.
func (m *Model) enter() tea.Cmd {
	r := m.row()
	if r == nil || m.detail {
		return nil
	}
	if m.at != services {
		m.detail = true
		return nil
	}
	if m.lists[backends].service != r.name {
		m.lists[backends] = newList(question{backends, r.name})
	}
	return m.open(backends)
}

// leave goes up again: out of the details, the filter, the service.
func (m *Model) leave() tea.Cmd {
	switch {
	case m.detail:
		m.detail = false
	case m.list().filter != "":
		m.setFilter("")
	case m.at == backends:
		return m.open(services)
	}
	return nil
}

func (m *Model) setFilter(s string) {
	m.list().filter = strings.ToLower(s)
	m.fill()
}
