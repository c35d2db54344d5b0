package rig

import (
	"fmt"
	"net/netip"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/packet"
)

// Config says what a rig is made of.
type Config struct {
	Mode     string // nat, fullnat, dsr, ipip, gue or gre
	Family   traffic.Family
	Flows    int // established before anything is measured
	Workers  int
	MaxFlows int // of the table; 0: as many as a prudent user would allow
}

// backends is how many there are. The maglev choice lets the generator know where a
// flow is without asking the engine.
const backends = 8

// sources are as many addresses of full NAT as the largest table needs.
const sources = traffic.MaxFlows/backends/60_000 + 1

func (c Config) check() error {
	if _, err := balancer.ParseMode(c.Mode); err != nil {
		return fmt.Errorf("rig: %w", err)
	}
	if c.Flows > traffic.MaxFlows || c.Workers < 1 || c.Flows == 0 && c.MaxFlows == 0 {
		return fmt.Errorf("rig: %d flows on %d workers, want up to %d flows and a worker", c.Flows, c.Workers, traffic.MaxFlows)
	}
	return nil
}

// maxFlows leaves a quarter of room, since shards do not fill evenly.
func (c Config) maxFlows() int {
	if c.MaxFlows > 0 {
		return c.MaxFlows
	}
	return max(c.Flows+c.Flows/4, 1<<16)
}

func (c Config) spec() balancer.Spec {
	mode, _ := balancer.ParseMode(c.Mode)
	s := balancer.ServiceSpec{
		Name: "bench", Address: c.Family.Service(), First: traffic.Port, Last: traffic.Port,
		Protocol: balancer.TCP, Mode: mode, Algorithm: balancer.Maglev,
		Health: balancer.HealthSpec{Type: balancer.HealthNone},
	}
	if mode == balancer.GUE {
		s.GUE = balancer.GUESpec{Port: 6080, Variant: 1}
	}
	for i := range backends {
		b := balancer.BackendSpec{Name: fmt.Sprint("b", i), Address: c.Family.Backend(i), Weight: 1}
		if mode.Traits().Translates {
			b.Port = traffic.BackendPort
		}
		s.Backends = append(s.Backends, b)
	}
	if mode.Traits().TranslatesSource {
		for i := range sources {
			s.SnatAddresses = append(s.SnatAddresses, c.Family.Source(i))
		}
	}
	return balancer.Spec{Services: []balancer.ServiceSpec{s}}
}

func (c Config) facts() balancer.Facts {
	f := balancer.Facts{Ports: []balancer.Port{{MAC: packet.MAC{2, 0, 0, 0, 9, 9}}}, NextHops: map[netip.Addr]balancer.NextHop{}}
	for i := range backends {
		f.NextHops[c.Family.Backend(i)] = balancer.NextHop{MAC: packet.MAC{2, 0xbe, 0, 0, 0, byte(i)}, OnLink: true, Own: c.Family.Client(0).Addr()}
	}
	return f
}
