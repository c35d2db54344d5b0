package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
)

// waiting is a stage that only waits, and what it notes.
func waiting() (s *stage, notes *[]string) {
	notes = new([]string)
	return &stage{scene: tiny, daemon: &peer.Process{}, note: func(text string) { *notes = append(*notes, text) }}, notes
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, notes := waiting()
		since, asked := time.Now(), 0
		took, err := s.await(t.Context(), "it is there", since, time.Second, func(context.Context) (bool, error) {
			asked++
			switch asked {
			case 1:
				return false, nil
			case 2:
				return true, errors.New("too busy") // what comes with an error is no answer
			}
			time.Sleep(300 * time.Millisecond) // the answer takes a while
			return true, nil
		})
		if err != nil || took != 2300*time.Millisecond || len(*notes) != 0 {
			t.Errorf("took %v, %v, notes %q; want 2.3 s", took, err, *notes)
		}
	})
}

// What does not come is noted, and does not keep the rest from being measured.
func TestAwaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, notes := waiting()
		took, err := s.await(t.Context(), "it is there", time.Now(), time.Second, func(context.Context) (bool, error) {
			return false, errors.New("too busy")
		})
		if err != nil || took < patience || took > patience+2*time.Second {
			t.Errorf("took %v, %v; want %v", took, err, patience)
		}
		if len(*notes) != 1 || !strings.Contains((*notes)[0], "it is there") || !strings.Contains((*notes)[0], "too busy") {
			t.Errorf("notes %q, want one that says what was waited for, and the error", *notes)
		}
	})
}

func TestAwaitStops(t *testing.T) {
	s, _ := waiting()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.await(ctx, "it is there", time.Now(), time.Hour, func(context.Context) (bool, error) {
		cancel()
		return false, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("when all is over: %v", err)
	}
}

// Whoever waits for backends that are not there any more waits for nothing.
func TestAwaitNeedsBackends(t *testing.T) {
	s, _ := waiting()
	s.served = make(chan error, 1)
	broken := errors.New("too many open files")
	s.served <- broken
	for range 2 {
		_, err := s.await(t.Context(), "it is there", time.Now(), time.Hour, func(context.Context) (bool, error) { return false, nil })
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "backends") {
			t.Errorf("%v, want the backends' end", err)
		}
	}
}
