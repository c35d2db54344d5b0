package balancer

// Where packets come from on the link, by the source MAC address of their frames as
// packet.MAC.Word has it. A sender can write there what it wants: this tells loops and
// routers apart, and lets nobody in.

// sender is a MAC address that a service's backends send from.
type sender struct {
	mac     uint64
	service uint64 // its ID, as wide as the address: no padding to compare
}

// IsGateway reports whether the MAC address is a router's that the machine's routes name.
func (t *Table) IsGateway(mac uint64) bool {
	_, ok := t.gateways[mac]
	return ok
}

// FromBackend reports whether the MAC address is that of a backend of s, a service whose
// backends must be on the link. What such a backend sends to the service has been at the
// balancer before: it is a balancer itself, and this is its backend. Of other modes it
// says no, since their backends may be clients, and routers lead to them; and of a router,
// which may be a backend too: what it passes on is its neighbours'.
func (t *Table) FromBackend(s *Service, mac uint64) bool {
	if !s.Mode.Traits().NeedsLink { // known without a look
		return false
	}
	_, ok := t.senders[sender{mac: mac, service: uint64(s.ID)}]
	return ok
}

// origins writes where packets come from.
func (t *Table) origins(facts *Facts) {
	for _, mac := range facts.Gateways {
		t.gateways[mac.Word()] = struct{}{}
	}
	for i := range t.Backends {
		b := &t.Backends[i]
		if b.Flags&(Present|HasMAC) == Present|HasMAC && b.Mode.Traits().NeedsLink && !t.IsGateway(b.MAC.Word()) {
			t.senders[sender{mac: b.MAC.Word(), service: uint64(t.Services[b.Service].ID)}] = struct{}{}
		}
	}
}
