package balancer

import "github.com/afxlb/afxlb/internal/packet"

// Where packets come from on their link, by the hop word that the source MAC address of
// their frames makes. A sender can write there what it wants: this tells loops and
// routers apart, and lets nobody in.

// sender is a hop word that a service's backends send from.
type sender struct {
	hop     uint64
	service uint64 // its ID, as wide as the address: no padding to compare
}

// word returns the hop word of a MAC address on a link, if there is room for the link.
func (t *Table) word(mac *packet.MAC, on Link) (uint64, bool) {
	id, ok := t.Links.ID(on)
	return id.Word(mac.Word()), ok
}

// IsGateway reports whether the hop word is a router's that the machine's routes name.
func (t *Table) IsGateway(hop uint64) bool {
	_, ok := t.gateways[hop]
	return ok
}

// FromBackend reports whether the hop word is that of a backend of s, a service whose
// backends must be on the link. What such a backend sends to the service has been at the
// balancer before: it is a balancer itself, and this is its backend. Of other modes it
// says no, since their backends may be clients, and routers lead to them; and of a router,
// which may be a backend too: what it passes on is its neighbours'.
func (t *Table) FromBackend(s *Service, hop uint64) bool {
	if !s.Mode.Traits().NeedsLink { // known without a look
		return false
	}
	_, ok := t.senders[sender{hop: hop, service: uint64(s.ID)}]
	return ok
}

// origins writes where packets come from.
func (t *Table) origins(facts *Facts) {
	for i := range facts.Gateways {
		if hop, ok := t.word(&facts.Gateways[i].MAC, facts.Gateways[i].Link); ok {
			t.gateways[hop] = struct{}{}
		}
	}
	for i := range t.Backends {
		b := &t.Backends[i]
		if b.Flags&(Present|HasMAC) != Present|HasMAC || !b.Mode.Traits().NeedsLink {
			continue
		}
		if from := t.Links.Origin(b.Next); !t.IsGateway(from) {
			t.senders[sender{hop: from, service: uint64(t.Services[b.Service].ID)}] = struct{}{}
		}
	}
}
