package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// Kind is one of the lists.
type Kind int

const (
	services Kind = iota
	workers
	ports
	drops
	events
	warnings
	backends // of one service, below services
	numKinds
)

// Views are the names of the lists, in the order of the keys that open them, and the one
// below services last.
var Views = []string{"services", "workers", "ports", "drops", "events", "warnings", "backends"}

// String returns the list's name.
func (k Kind) String() string { return Views[k] }

// view is how a list is shown.
type view struct {
	columns []column
	rows    func(pair) []row
	order   order  // unless told otherwise
	empty   string // what is said of a list that has nothing
}

var listed = order{by: -1}

// views has them by kind. Columns of rank 0 are always there, those of the highest rank
// only on the widest screens, and all in the details of a row.
var views = [numKinds]view{
	services: {serviceColumns, serviceRows, listed, "no services"},
	backends: {backendColumns, backendRows, listed, "no backends"},
	workers:  {workerColumns, workerRows, listed, "no workers: no interface is served"},
	ports:    {portColumns, portRows, listed, "no interfaces"},
	drops:    {dropColumns, dropRows, order{by: 1, down: true}, "nothing was lost"},
	events:   {eventColumns, eventRows, order{by: -1, down: true}, "nothing has happened"},
	warnings: {warningColumns, warningRows, listed, "no warnings: all is as it should be"},
}

var serviceColumns = []column{
	{title: "SERVICE", width: 12, most: 40, left: true},
	{title: "STATE", width: 7, left: true, state: true},
	{title: "UP", width: 5, most: 9},
	{title: "PROTO", width: 5, rank: 5, left: true},
	{title: "ADDRESS", width: 18, most: 45, rank: 4, left: true},
	{title: "MODE", width: 7, rank: 6, left: true},
	{title: "ALGORITHM", width: 12, most: 20, rank: 7, left: true},
	{title: "LIVE", width: 5},
	{title: "FLOWS", width: 6, rank: 3},
	{title: "NEW/s", width: 5},
	{title: "pkt/s IN", width: 8},
	{title: "pkt/s OUT", width: 9, rank: 1},
	{title: "bit/s IN", width: 8},
	{title: "bit/s OUT", width: 9},
}

func serviceRows(p pair) (rows []row) {
	key := func(s *api.Service) string { return s.Protocol + " " + s.Address + " " + s.Port }
	before := byKey(p.before.services, key)
	for i := range p.now.services {
		s := &p.now.services[i]
		old, rate := rate(p, before, key(s))
		rows = append(rows, row{key(s), s.Name, []cell{
			word(s.Name), word(upState(s)), share(s.Backends),
			word(s.Protocol), word(target(s.Address, s.Port)), word(s.Mode), word(s.Algorithm),
			number(s.Live), number(s.Flows), number(rate(old.Flows, s.Flows)),
			number(rate(old.PacketsIn, s.PacketsIn)), number(rate(old.PacketsOut, s.PacketsOut)),
			number(8 * rate(old.BytesIn, s.BytesIn)), number(8 * rate(old.BytesOut, s.BytesOut)),
		}})
	}
	return rows
}

// upState is a service's state in words: what it falls back on, or how many of its backends are up.
func upState(s *api.Service) string {
	n, short := s.Backends, s.Short()
	switch {
	case n.Total == 0:
		return "empty"
	case short != "":
		return short
	case n.Up == 0:
		return "none up"
	case n.Up < n.Total:
		return "some up"
	}
	return "all up"
}

// share is a cell of how many of its backends a service has.
func share(n api.UpTotal) cell {
	return cell{value: float64(n.Up) / float64(n.Total), print: func(float64) string { return fmt.Sprintf("%d/%d", n.Up, n.Total) }}
}

// target is an address with a port.
func target(address, port string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]:" + port
	}
	return address + ":" + port
}

var backendColumns = []column{
	{title: "BACKEND", width: 10, most: 40, left: true},
	{title: "STATE", width: 11, left: true, state: true},
	{title: "ADDRESS", width: 18, most: 45, rank: 4, left: true},
	{title: "WEIGHT", width: 6},
	{title: "LIVE", width: 5},
	{title: "FLOWS", width: 6, rank: 3},
	{title: "NEW/s", width: 5},
	{title: "pkt/s IN", width: 8},
	{title: "pkt/s OUT", width: 9, rank: 1},
	{title: "bit/s IN", width: 8},
	{title: "bit/s OUT", width: 9, rank: 1},
	{title: "FOR", width: 6, rank: 2},
	{title: "OVERRIDE", width: 8, most: 16, rank: 2, left: true},
	{title: "WHY", width: 12, most: 60, rank: 5, left: true},
	{title: "CHECK", width: 12, most: 60, rank: 5, left: true},
	{title: "EGRESS", width: 10, most: 20, rank: 6, left: true},
	{title: "MAC", width: 17, most: 17, rank: 7, left: true},
	{title: "HANDICAP", width: 8, rank: 8},
}

func backendRows(p pair) (rows []row) {
	key := func(b *api.Backend) string { return b.Address + " " + b.Port }
	before := byKey(p.before.backends, key)
	for i := range p.now.backends {
		b := &p.now.backends[i]
		old, rate := rate(p, before, key(b))
		rows = append(rows, row{key(b), b.Name, []cell{
			word(b.Name), word(b.State), word(target(b.Address, b.Port)),
			exactly(b.Weight), number(b.Live), number(b.Flows), number(rate(old.Flows, b.Flows)),
			number(rate(old.PacketsIn, b.PacketsIn)), number(rate(old.PacketsOut, b.PacketsOut)),
			number(8 * rate(old.BytesIn, b.BytesIn)), number(8 * rate(old.BytesOut, b.BytesOut)),
			lasted(p.now.at, b.Since), word(b.Override), word(b.Reason), word(b.Check), word(b.Egress), word(b.MAC), number(b.Handicap),
		}})
	}
	return rows
}

// lasted is a cell of how long something has been so.
func lasted(now, since time.Time) cell {
	if since.IsZero() {
		return word("")
	}
	return cell{value: now.Sub(since).Seconds(), print: func(s float64) string { return ago(time.Duration(s * 1e9)) }}
}
