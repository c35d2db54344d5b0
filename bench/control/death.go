package control

import (
	"context"
	"net/netip"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// kind is a way for an address to die.
type kind string

const (
	silent  kind = "silent"  // packets to it are dropped; ARP is answered: a machine that hangs
	removed kind = "removed" // nobody has it, nobody answers ARP: a machine that is gone
)

var kinds = []kind{silent, removed}

// death is what the death of an address brought with it.
type death struct {
	out      time.Duration // until the last service showed it
	back     time.Duration // from when it answered again until all backends were shown to be up
	mistaken int           // backends elsewhere that were shown not to be up meanwhile
}

// die has an address die, and come back when all know.
func (s *stage) die(ctx context.Context, k kind) (d death, err error) {
	a := lab.BackendAddr(s.scene.Addresses - 1)
	v := vigil{stage: s, address: a, dead: s.scene.at(a), begun: time.Now()}
	kill, revive := func() error { return s.silence.of(a) }, func() error { return s.silence.of(netip.IPv4Unspecified()) }
	if k == removed {
		kill, revive = func() error { return s.lose(a) }, func() error { return s.hold(a) }
	}
	if err := kill(); err != nil {
		return d, err
	}
	if _, err = s.await(ctx, "the last service shows that a backend is dead", v.begun, watch, v.out); err != nil {
		return d, err
	}
	d.out = v.seen.Sub(v.begun)
	if err := revive(); err != nil {
		return d, err
	}
	revived := time.Now()
	if d.back, err = s.await(ctx, "all backends are shown to be up again", revived, watch, s.allUp); err != nil {
		return d, err
	}
	// Who was down and came back tells so by since when it is up.
	_, err = s.await(ctx, "the backends are listed", time.Now(), watch, func(ctx context.Context) (bool, error) {
		_, err := v.count(ctx)
		return err == nil, err
	})
	d.mistaken = v.mistaken
	return d, err
}

// watch is how far apart two looks at the status are.
const watch = 20 * time.Millisecond

// allUp reports whether the status shows all backends to be up.
func (s *stage) allUp(ctx context.Context) (bool, error) {
	st, err := s.api.Status(ctx)
	want := s.scene.Services * s.scene.Backends
	return err == nil && st.State == "serving" && st.Backends.Up == want && st.Backends.Total == want, err
}

// vigil watches an address die.
type vigil struct {
	stage    *stage
	address  netip.Addr
	dead     int // backends at it
	begun    time.Time
	seen     time.Time // when the last look was answered
	mistaken int
}

// out reports whether all services show it. The status is asked, which is cheap, until
// so many are not up as have to; that these are the right ones, the list tells. It is
// the status that has shown it, then.
func (v *vigil) out(ctx context.Context) (bool, error) {
	st, err := v.stage.api.Status(ctx)
	v.seen = time.Now()
	if err != nil {
		return false, err
	}
	missing := st.Backends.Total - st.Backends.Up
	v.mistaken = max(v.mistaken, missing-v.dead)
	if missing < v.dead {
		return false, nil
	}
	shown, err := v.count(ctx)
	return shown == v.dead, err
}

// count reads the list of backends: how many at the address are shown not to be up, and
// how many elsewhere have not been up all the time.
func (v *vigil) count(ctx context.Context) (shown int, err error) {
	list, err := v.stage.api.Backends(ctx, "")
	if err != nil {
		return 0, err
	}
	mistaken := 0
	for _, b := range list {
		up := b.State == "up"
		switch {
		case b.Address == v.address.String():
			if !up {
				shown++
			}
		case !up || b.Since.After(v.begun):
			mistaken++
		}
	}
	v.mistaken = max(v.mistaken, mistaken)
	return shown, nil
}
