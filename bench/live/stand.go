package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/wire"
)

// stand is a contender on its wire.
type stand struct {
	first         Case // that it was made for
	place         place
	wire          *wire.Wire
	running       peer.Running
	daemon        *peer.Daemon // if it is one
	pause, resume func() error
	known         map[Case]bool // whose flows it knows
}

// window is how many frames are under way at a contender's own pace: enough for the
// batches on the way, and no more than the shortest queue has room for, which is
// testpmd's and the veth's together.
const window = 512

// newStand makes a wire and starts the contender.
func newStand(ctx context.Context, c Case, afxlb string) (*stand, error) {
	all, err := cpus()
	if err != nil {
		return nil, err
	}
	p, err := newPlace(all, c.Queues)
	if err != nil {
		return nil, err
	}
	w, err := wire.New(wire.Options{Queues: c.Queues, Receive: p.balancer, Load: p.load})
	if err != nil {
		return nil, err
	}
	none := func() error { return nil }
	s := &stand{first: c, place: p, wire: w, pause: none, resume: none, known: map[Case]bool{}}
	switch c.Contender {
	case forward:
		err = s.startForwarder(ctx)
	case testpmd:
		err = s.startTestpmd(ctx)
	case nft:
		err = s.startNFT(ctx)
	default:
		err = s.startAfxlb(ctx, afxlb)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the contender and takes the wire down.
func (s *stand) Close() error {
	var errs []error
	if s.running != nil {
		errs = append(errs, s.running.Stop())
	}
	return errors.Join(append(errs, s.wire.Close())...)
}

// inKernel reports whether the contender's work is done where its packets are received.
func (s *stand) inKernel() bool { return s.first.Contender == nft }

// done returns how many packets the contender has done its work on.
func (s *stand) done(ctx context.Context, c wire.Counts) (uint64, error) {
	switch {
	case s.first.Contender == receive:
		return s.lookedUp(ctx)
	case s.first.Mode == nat:
		return c.Rewritten, nil
	}
	return c.Returned, nil
}

// until waits until ok holds, which it asks every few milliseconds, for some seconds.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		done, err := ok()
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-time.After(3 * time.Millisecond):
		}
	}
}
