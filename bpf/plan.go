package bpf

import "fmt"

// Limits says how much a plan may have. The maps are made for it.
type Limits struct {
	Addresses int // of services, nat backends and this machine together
	Ports     int // port blocks of the services, and as many of the backends
}

// DefaultLimits returns limits that are good for most machines: one costs little
// before it is used (32 bytes an address or port).
func DefaultLimits() Limits { return Limits{Addresses: 1 << 16, Ports: 1 << 16} }

// maxMACs is how many MAC addresses a machine may have on one interface: VRRP has 255
// virtual routers of each family.
const maxMACs = 1024

// room is a map's size for a limit: the old and the new, both at the limit, must fit
// together while one replaces the other.
func room(limit int) uint32 { return uint32(2 * limit) }

func (l Limits) check(s state) error {
	macs := len(s.macs)
	for _, further := range s.further {
		macs = max(macs, len(further.macs))
	}
	for _, c := range []struct {
		what     string
		n, limit int
	}{
		{"addresses of services, nat backends and this machine", len(s.addresses), l.Addresses},
		{"port blocks of services (a range of ports has up to 30)", len(s.services), l.Ports},
		{"port blocks of nat backends (a range of ports has up to 30)", len(s.replies), l.Ports},
		{"MAC addresses of this machine", macs, maxMACs},
	} {
		if c.n > c.limit {
			return fmt.Errorf("%d %s: %w of %d", c.n, c.what, ErrFull, c.limit)
		}
	}
	return nil
}

// Plan is what a program's maps are to hold: a [Steering] that was found right and
// within limits. It never changes, so it may be shared, and of equal steerings it is
// deeply equal. The zero value steers nothing.
type Plan struct{ want state }

// NewPlan checks s and works out the maps' content. It asks nobody, so that a plan can
// be made where there is no program and no privilege: what is wrong with a
// configuration shows here, and [Program.Apply] fails for the kernel's reasons only.
//
// The error is [ErrFull] if s is over a limit, and says what is too many.
func NewPlan(s Steering, l Limits) (*Plan, error) {
	want, err := compile(s)
	if err != nil {
		return nil, err
	}
	if err := l.check(want); err != nil {
		return nil, err
	}
	return &Plan{want}, nil
}
