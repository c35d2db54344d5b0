package balancer

import "sync/atomic"

// MaxBackends is how many backends can exist at a time, over all services and
// including removed ones that still have flows. A backend's ID is below it, so
// that a position among a service's backends fits into the 16 bits of a slot of a lookup
// table.
const MaxBackends = 1 << 16

// Loads counts what each backend is busy with. It is shared by all workers and
// by all generations of the table; every method may be called by anyone at any
// time.
//
// A backend has three counts. Live connections (IPVS: active connections) are what
// least-conn and two-choices compare: a connection that is closing is not live any more.
// Established are those of them that both ends have agreed to, as far as the balancer sees
// these: what max-conns bounds, for anybody can begin a connection in another's name.
// Flows are all the records that name the backend, also those that linger after the
// close: while there is one, the ID must not be given to another backend.
//
// A backend that has come back has a handicap besides: connections that it has not got,
// but counts as having, so that it is not given all that comes until it has as many as
// the others. Who sets it lets it go down to nothing in some seconds.
//
// And it has the number of clients in a row whom it refused: one that refuses all has
// nothing to do, and would be the first choice for everybody. Likewise the number of times in
// a row that a client had to knock again: it is for the health checks.
//
// The zero value is ready to use. It takes 4 MiB of address space, of which only
// the pages of IDs in use become resident.
type Loads struct {
	backends [MaxBackends]load // by ID
	// restrained counts the handicaps and those who have refused somebody: most of the
	// time there are none, and nobody need look for them.
	restrained atomic.Int64
	ignoring   atomic.Int64 // counts those who have left somebody waiting
}

// load has a cache line of its own, so that workers which count for different
// backends don't slow each other down.
type load struct {
	live, flows atomic.Int64
	established atomic.Int64
	handicap    atomic.Int64
	refused     atomic.Int64
	ignored     atomic.Int64
	_           [16]byte
}

// NewLoads returns counts that are all zero.
func NewLoads() *Loads { return new(Loads) }

// AddLive changes the number of the backend's live connections.
func (l *Loads) AddLive(id uint32, delta int) { l.backends[id].live.Add(int64(delta)) }

// Live returns the number of the backend's live connections.
func (l *Loads) Live(id uint32) int64 { return l.backends[id].live.Load() }

// AddEstablished changes the number of the backend's established connections.
func (l *Loads) AddEstablished(id uint32, delta int) {
	l.backends[id].established.Add(int64(delta))
}

// Established returns the number of the backend's established connections.
func (l *Loads) Established(id uint32) int64 { return l.backends[id].established.Load() }

// SetHandicap has the backend count for so many connections more than it has; 0 ends that.
func (l *Loads) SetHandicap(id uint32, n int64) {
	switch was := l.backends[id].handicap.Swap(n); {
	case was == 0 && n != 0:
		l.restrained.Add(1)
	case was != 0 && n == 0:
		l.restrained.Add(-1)
	}
}

// Handicap returns how many connections more than it has the backend counts for.
func (l *Loads) Handicap(id uint32) int64 { return l.backends[id].handicap.Load() }

// Refuse notes that the backend has refused a connection.
func (l *Loads) Refuse(id uint32) {
	if l.backends[id].refused.Add(1) == 1 {
		l.restrained.Add(1)
	}
}

// Accept notes that the backend has accepted a connection: it refuses no more.
func (l *Loads) Accept(id uint32) {
	if r := &l.backends[id].refused; r.Load() != 0 && r.Swap(0) != 0 { // mostly nothing is written
		l.restrained.Add(-1)
	}
	if i := &l.backends[id].ignored; i.Load() != 0 && i.Swap(0) != 0 {
		l.ignoring.Add(-1)
	}
}

// Ignore notes that a client had to repeat its SYN, as the backend has not answered it.
func (l *Loads) Ignore(id uint32) {
	if l.backends[id].ignored.Add(1) == 1 {
		l.ignoring.Add(1)
	}
}

// Ignored returns how often that was since the backend accepted a connection.
func (l *Loads) Ignored(id uint32) int64 { return l.backends[id].ignored.Load() }

// Troubled reports whether anybody has refused or ignored somebody since. It may say so of
// handicaps too.
func (l *Loads) Troubled() bool { return l.restrained.Load() != 0 || l.ignoring.Load() != 0 }

// Refused returns how many connections the backend has refused since it accepted one.
func (l *Loads) Refused(id uint32) int64 { return l.backends[id].refused.Load() }

// AddFlows changes the number of flow records that name the backend.
func (l *Loads) AddFlows(id uint32, delta int) { l.backends[id].flows.Add(int64(delta)) }

// Flows returns the number of flow records that name the backend.
func (l *Loads) Flows(id uint32) int64 { return l.backends[id].flows.Load() }
