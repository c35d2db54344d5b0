package control

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// follower has replies follow neighbours that have moved: where a flow's replies go was
// learnt from the client's packets, and while only the server talks nobody tells that the
// router in front is another one now. The kernel does.
//
// A sweep looks at every flow there is. So it has a goroutine of its own, and all moves
// that come meanwhile wait for the next one, however many they are.
type follower struct {
	engine Engine
	words  words
	log    *zap.Logger
	wake   chan struct{} // holds a token when there is something to follow

	mu      sync.Mutex
	moves   []egress.Move
	present egress.Snapshot // the latest
	left    int             // moves that were too many since the log told of them
	warned  time.Time
}

const (
	// Sweeps take a 20th of a core at most, and there are ten a second at most, whatever
	// somebody on the link tells the kernel.
	followRest, followEvery = 20, 100 * time.Millisecond
	// maxMoves bounds the moves that wait. Those that are too many are not followed until
	// their clients talk.
	maxMoves = 1 << 13
	// warnEvery is how often the log has what somebody on the link can bring about.
	warnEvery = 10 * time.Second
)

func newFollower(e Engine, links *balancer.Links, log *zap.Logger) *follower {
	return &follower{engine: e, words: words{links}, log: log, wake: make(chan struct{}, 1)}
}

// follow adds moves to those that wait, if there are any, and tells where everybody is now.
func (f *follower) follow(moves []egress.Move, s egress.Snapshot) {
	if len(moves) == 0 {
		return
	}
	f.mu.Lock()
	if room := maxMoves - len(f.moves); len(moves) > room {
		f.left += len(moves) - room
		moves = moves[:room]
	}
	if f.left > 0 && time.Since(f.warned) >= warnEvery {
		f.log.Warn("more neighbours move than can be followed; replies to some find their way when their clients talk", zap.Int("moves", f.left))
		f.left, f.warned = 0, time.Now()
	}
	f.moves, f.present = append(f.moves, moves...), s
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default: // it will come anyway
	}
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		start := time.Now()
		f.sweep()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(followEvery, followRest*time.Since(start))):
		}
	}
}

// sweep has the flows follow all moves so far.
func (f *follower) sweep() {
	f.mu.Lock()
	moves, present := f.moves, f.present
	f.moves = nil
	f.mu.Unlock()
	t := newTransfers(moves, &present, f.words)
	if len(t.left) == 0 {
		return // all are where they were
	}
	if n := f.engine.MoveHops(t.to); n > 0 {
		f.log.Info("replies follow who has moved on the link", zap.Int("flows", n), zap.Int("places", len(t.left)))
	}
}
