package balancer

import (
	"fmt"
	"net/netip"
)

// ServiceKey is what a service is, whatever it is called: no two services of a [Spec]
// have the same. A name is a label for people, and changing it changes nothing else.
type ServiceKey struct {
	Address     netip.Addr
	Protocol    Protocol
	First, Last uint16
}

// Key returns the service's identity.
func (s *ServiceSpec) Key() ServiceKey {
	return ServiceKey{Address: s.Address, Protocol: s.Protocol, First: s.First, Last: s.Last}
}

// Overlaps reports whether some packets are for both.
func (k ServiceKey) Overlaps(o ServiceKey) bool {
	return k.Address == o.Address && k.Protocol == o.Protocol && k.First <= o.Last && o.First <= k.Last
}

// String returns the key as in 192.0.2.10:80/tcp, [2001:db8::1]:8000-8099/udp or
// 192.0.2.10:any/tcp.
func (k ServiceKey) String() string {
	address := k.Address.String()
	if k.Address.Is6() {
		address = "[" + address + "]"
	}
	return fmt.Sprintf("%s:%s/%v", address, ports(k.First, k.Last), k.Protocol)
}

// BackendKey is what a backend is: a place that gets the traffic of a service. With
// another address or port it is another backend; its flows cannot go on there.
type BackendKey struct {
	Service ServiceKey
	Address netip.Addr
	Port    uint16 // [ServiceSpec.Target]; 0: the port that the client asked for
}

// BackendKey returns the identity of the service's backend b. Whether b says its port
// or leaves it to the service makes no difference.
func (s *ServiceSpec) BackendKey(b *BackendSpec) BackendKey {
	return BackendKey{Service: s.Key(), Address: b.Address, Port: s.Target(b)}
}

// String returns the key as in 10.0.0.11:8080 of 192.0.2.10:80/tcp.
func (k BackendKey) String() string {
	if k.Port == 0 {
		return fmt.Sprintf("%v of %v", k.Address, k.Service)
	}
	return fmt.Sprintf("%v of %v", netip.AddrPortFrom(k.Address, k.Port), k.Service)
}
