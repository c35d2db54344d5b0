package engine

import (
	"sync/atomic"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/persist"
	"github.com/afxlb/afxlb/internal/packet"
)

// clients is the persistence of services: which backend a client went to. Workers ask it
// once a new flow of such a service, and the flow table tells it of these flows' ends.
type clients struct {
	*persist.Table
	clock  Clock
	tables *atomic.Pointer[balancer.Table]
}

// clientShare is how many flows a client has on average, where as many are remembered as
// there may be flows.
const clientShare = 4

func client(s *balancer.Service, a *packet.Addr) (c persist.Client, timeout uint32) {
	c.Group, c.Net, timeout = s.Client(*a)
	return c, timeout
}

// seat returns the backend that a client of s stays with, if that is in rotation: nobody
// is kept by one that is gone, is down or drains.
func (c *clients) seat(s *balancer.Service, a *packet.Addr, now uint32) (id uint32, ok bool) {
	who, _ := client(s, a)
	at, ok := c.Find(who, now)
	if !ok {
		return 0, false
	}
	return s.Seat(at.Address, at.Port)
}

// begin notes that a client of s has a new flow to b, and stays there.
func (c *clients) begin(s *balancer.Service, a *packet.Addr, b *balancer.Backend, now uint32) {
	who, timeout := client(s, a)
	c.Begin(who, persist.Place{Address: b.Address, Port: b.Port}, timeout, now)
}

// Proven and Ended make it the flow table's observer.

func (c *clients) Proven(a packet.Addr, backend uint32) {
	if s := c.service(backend); s != nil {
		who, _ := client(s, &a)
		c.Prove(who, c.clock.Now())
	}
}

func (c *clients) Ended(a packet.Addr, backend uint32) {
	if s := c.service(backend); s != nil {
		who, _ := client(s, &a)
		c.End(who, c.clock.Now())
	}
}

// service returns the service of a backend whose clients stay with it; nil: they don't, or
// not any more.
func (c *clients) service(backend uint32) *balancer.Service {
	t := c.tables.Load()
	if int(backend) >= len(t.Backends) {
		return nil
	}
	i := t.Backends[backend].Service
	if i == balancer.NoService || !t.Services[i].Persists() {
		return nil
	}
	return &t.Services[i]
}
