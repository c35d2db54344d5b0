package contest

import (
	"context"
	"errors"
	"net/netip"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// Contender is who stands between the client and the server.
type Contender struct {
	Name string
	UDP  bool // can do UDP too
	// start starts it for these services on the CPUs that are the balancer's; nil: there
	// is nobody, and the client reaches the server by the switch alone.
	start func(ctx context.Context, h *lab.Host, services []peer.Service, cpus []int) (peer.Running, error)
	dsr   bool
}

// Straight is the name of the wire with nobody on it.
const Straight = "straight"

const busy = "afxlb busy"

// Field is all who can take part. The notes are for the result: which daemon it is, and
// whose programs the machine lacks.
func Field(afxlb string) (field []Contender, notes []string, err error) {
	afxlb, err = peer.FindAfxlb(afxlb)
	if err != nil {
		return nil, nil, err
	}
	version, err := peer.AfxlbVersion(afxlb)
	if err != nil {
		return nil, nil, err
	}
	notes = append(notes, "the daemon is "+version)
	field = []Contender{
		{Name: Straight, UDP: true},
		{Name: busy, UDP: true, start: daemon(afxlb, "busy")},
		{Name: "afxlb adaptive", UDP: true, start: daemon(afxlb, "adaptive")},
		{Name: "afxlb dsr", UDP: true, start: daemon(afxlb, "adaptive"), dsr: true},
	}
	for _, p := range []struct {
		name    string
		udp     bool
		program peer.Program
		start   func(path string, services []peer.Service, cpus []int) starter
	}{
		{"nft", true, peer.NFT, func(path string, s []peer.Service, _ []int) starter { return peer.DNAT{Program: path, Services: s} }},
		{"haproxy", false, peer.HAProxy, func(path string, s []peer.Service, cpus []int) starter {
			return peer.TCPProxy{Program: path, Services: s, CPUs: cpus}
		}},
		{"nginx", true, peer.Nginx, func(path string, s []peer.Service, cpus []int) starter {
			return peer.StreamProxy{Program: path, Services: s, CPUs: cpus}
		}},
	} {
		path, err := p.program.Find()
		if errors.Is(err, peer.ErrAbsent) {
			notes = append(notes, err.Error())
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		field = append(field, Contender{Name: p.name, UDP: p.udp, start: func(ctx context.Context, h *lab.Host, s []peer.Service, cpus []int) (peer.Running, error) {
			return p.start(path, s, cpus).Start(ctx, h)
		}})
	}
	return field, notes, nil
}

// starter is a peer that was told what to do.
type starter interface {
	Start(ctx context.Context, h *lab.Host) (peer.Running, error)
}

func daemon(path, poll string) func(context.Context, *lab.Host, []peer.Service, []int) (peer.Running, error) {
	return func(ctx context.Context, h *lab.Host, s []peer.Service, cpus []int) (peer.Running, error) {
		return peer.Afxlb{Program: path, Config: peer.AfxlbConfig(s), Interface: lab.Interface, CPUs: cpus, Poll: poll}.Start(ctx, h)
	}
}

const (
	port     = 7000
	backends = 4 // ports of one host: one process serves all, as CPUs are few
)

var (
	vip = netip.MustParseAddr("192.0.2.10")
	// held is a service's address that the server has too: packets to it come as they
	// are, and answers go straight to the client.
	held = netip.MustParseAddr("192.0.2.20")
)

// address is where the client finds the service.
func (c *Contender) address() netip.AddrPort {
	if c.dsr || c.start == nil {
		return netip.AddrPortFrom(held, port)
	}
	return netip.AddrPortFrom(vip, port)
}

// services are what the contender balances. In dsr, packets keep their port: there is
// one backend.
func (c *Contender) services() []peer.Service {
	var to []netip.AddrPort
	for i := range backends {
		to = append(to, netip.AddrPortFrom(lab.BackendAddr(0), uint16(port+i)))
	}
	if c.dsr {
		to = to[:1]
	}
	all := []peer.Service{{Protocol: "tcp", Address: c.address(), Backends: to, DSR: c.dsr}}
	if c.UDP {
		all = append(all, peer.Service{Protocol: "udp", Address: c.address(), Backends: to, DSR: c.dsr})
	}
	return all
}

// protocols are those that the contender can do.
func (c *Contender) protocols() []string {
	if c.UDP {
		return []string{"udp", "tcp"}
	}
	return []string{"tcp"}
}

// listens are the server's addresses.
func listens() []netip.AddrPort {
	all := []netip.AddrPort{netip.AddrPortFrom(held, port)}
	for i := range backends {
		all = append(all, netip.AddrPortFrom(lab.BackendAddr(0), uint16(port+i)))
	}
	return all
}
