package persist

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// model is a shard as one would write it down: clients in order of their last touch.
type model struct {
	limit, evicted int
	list           []memory
}

type memory struct {
	client           Client
	place            Place
	timeout, touched uint32
	flows            int
	proven           bool
}

func (e *memory) holds(now uint32) bool {
	return e.flows > 0 && now-e.touched < 86_400_000 || now-e.touched < e.timeout
}

func (m *model) take(c Client) (memory, bool) {
	i := slices.IndexFunc(m.list, func(e memory) bool { return e.client == c })
	if i < 0 {
		return memory{client: c}, false
	}
	e := m.list[i]
	m.list = slices.Delete(m.list, i, i+1)
	return e, true
}

func (m *model) begin(c Client, at Place, timeout, now uint32) {
	e, ok := m.take(c)
	if !ok && len(m.list) == m.limit {
		strangers := 0
		for i := range m.list {
			if !m.list[i].proven {
				strangers++
			}
		}
		victim := slices.IndexFunc(m.list, func(e memory) bool {
			return !e.proven == (strangers > 0 && (strangers >= m.limit/4 || strangers == m.limit))
		})
		m.evicted++
		for _, proven := range []bool{false, true} { // whose time is over comes first
			i := slices.IndexFunc(m.list, func(e memory) bool { return e.proven == proven })
			if i >= 0 && !m.list[i].holds(now) {
				victim = i
				m.evicted--
				break
			}
		}
		m.list = slices.Delete(m.list, victim, victim+1)
	}
	e.place, e.timeout, e.touched = at, timeout, now
	e.flows++
	m.list = append(m.list, e)
}

// Against a slow oracle, and the clock goes round meanwhile.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 9).Draw(t, "limit")
		table, m := New(limit*shards, 0), model{limit: limit}
		var clients []Client // all of one shard
		for n := 0; len(clients) < 12; n++ {
			c := Client{Group: uint64(n % 3), Net: packet.AddrFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}))}
			if table.shard(&c) == &table.shards[0] {
				clients = append(clients, c)
			}
		}
		now := ^uint32(0) - 2000
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if s := table.Stats(); s.Clients != len(m.list) || s.Evicted != uint64(m.evicted) {
					t.Fatalf("%+v, want %d clients and %d pushed out", s, len(m.list), m.evicted)
				}
				for _, c := range clients {
					i := slices.IndexFunc(m.list, func(e memory) bool { return e.client == c })
					at, ok := table.Find(c, now)
					if want := i >= 0 && m.list[i].holds(now); ok != want || ok && at != m.list[i].place {
						t.Fatalf("%v is at %v, %t; want %t, %+v", c, at, ok, want, m.list)
					}
				}
			},
			"begin": func(t *rapid.T) {
				c, at := rapid.SampledFrom(clients).Draw(t, "client"), Place{Port: rapid.Uint16Range(1, 3).Draw(t, "place")}
				timeout := rapid.Uint32Range(1, 1000).Draw(t, "timeout")
				table.Begin(c, at, timeout, now)
				m.begin(c, at, timeout, now)
			},
			"prove": func(t *rapid.T) {
				c := rapid.SampledFrom(clients).Draw(t, "client")
				table.Prove(c, now)
				if e, ok := m.take(c); ok {
					e.proven, e.touched = true, now
					m.list = append(m.list, e)
				}
			},
			"end": func(t *rapid.T) {
				c := rapid.SampledFrom(clients).Draw(t, "client")
				table.End(c, now)
				i := slices.IndexFunc(m.list, func(e memory) bool { return e.client == c })
				if i >= 0 && m.list[i].flows > 0 {
					e, _ := m.take(c)
					e.flows--
					e.touched = now
					m.list = append(m.list, e)
				}
			},
			"wait": func(t *rapid.T) {
				now += rapid.SampledFrom([]uint32{1, 100, 700, 86_399_999, 86_400_000}).Draw(t, "ms")
			},
		})
	})
}

// A flood of made-up addresses takes no place of a client that has had a connection, beyond
// the share that newcomers have.
func TestFloodOfStrangers(t *testing.T) {
	const clients = 16 * shards
	table := New(clients, 0)
	client := func(n int) Client {
		return Client{Net: packet.AddrFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))}
	}
	for n := range clients / 2 {
		table.Begin(client(n), Place{Port: 1}, 1000, 0)
		table.Prove(client(n), 0)
	}
	for n := range 100 * clients {
		table.Begin(client(1_000_000+n), Place{Port: 2}, 1000, 1)
	}
	lost := 0
	for n := range clients / 2 {
		if at, ok := table.Find(client(n), 2); !ok || at.Port != 1 {
			lost++
		}
	}
	if lost > clients/8 { // a shard may have more than its share of the clients
		t.Errorf("%d of %d clients are forgotten", lost, clients/2)
	}
}

func TestAtOnce(t *testing.T) {
	table := New(100, 0)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 2000 {
				c := Client{Group: uint64(n % 300)}
				table.Begin(c, Place{Port: uint16(g)}, 1000, uint32(n))
				table.Prove(c, uint32(n))
				table.Find(c, uint32(n))
				table.End(c, uint32(n))
				table.Stats()
			}
		})
	}
	all.Wait()
	if s := table.Stats(); s.Clients == 0 || s.Clients > s.Limit {
		t.Errorf("%+v", s)
	}
}

// Who asks may be behind who told: the time of a worker's batch is older than that of another
// clock. A client that has just been seen is not one of 49 days ago.
func TestClocksApart(t *testing.T) {
	who, at := Client{Group: 1}, Place{Port: 80}
	for _, now := range []uint32{100, ^uint32(0) - 1, 0} { // also as the clock goes round
		for what, touch := range map[string]func(*Table, uint32){
			"begin": func(t *Table, now uint32) { t.Begin(who, at, 1000, now) },
			"prove": func(t *Table, now uint32) { t.Prove(who, now) },
			"end":   func(t *Table, now uint32) { t.End(who, now) },
		} {
			table := New(100, 0)
			table.Begin(who, at, 1000, now)
			touch(table, now+3)
			if _, ok := table.Find(who, now); !ok {
				t.Errorf("at %d: unknown after a %s 3 ms ahead", now, what)
			}
		}
	}
	const days = 24 * 3600 * 1000
	table := New(100, 0)
	table.Begin(who, at, 30*days, 0)
	table.End(who, 0)
	for day, want := range map[uint32]bool{25: true, 29: true, 31: false} {
		if _, ok := table.Find(who, day*days); ok != want {
			t.Errorf("remembered for 30 days: on day %d %t", day, ok)
		}
	}
}

// Whose time is over makes room before anybody else does, and is not among those who were
// forgotten before their time.
func TestRoomOfThoseWhoAreGone(t *testing.T) {
	const clients = 16 * shards
	table := New(clients, 0)
	client := func(n int) Client {
		return Client{Net: packet.AddrFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))}
	}
	for n := range 10 * clients { // they fill the table, and are gone
		table.Begin(client(n), Place{Port: 1}, 1000, 0)
		table.End(client(n), 0)
	}
	before := table.Stats().Evicted
	for n := range clients / 4 {
		table.Begin(client(1_000_000+n), Place{Port: 2}, 1000, 5000)
		table.Prove(client(1_000_000+n), 5000)
	}
	if after := table.Stats().Evicted; after != before || before == 0 {
		t.Errorf("%d were forgotten before their time, and then %d more", before, after-before)
	}
	for n := range clients / 4 {
		if _, ok := table.Find(client(1_000_000+n), 5001); !ok {
			t.Errorf("client %d is forgotten, for whom there was room", n)
		}
	}
}
