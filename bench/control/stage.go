package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// stage is a lab with the backends' addresses on one host, and a daemon.
type stage struct {
	scene   Scene
	program string
	place   place
	note    func(string)

	lab     *lab.Lab
	silence *silence

	daemon *peer.Process
	begun  time.Time // when it was started
	api    *api.Client

	weights  map[int]int // of first backends, as the config says
	reloaded int         // times

	stopServer context.CancelFunc
	served     chan error
}

// newStage builds all of it. The caller closes it.
func newStage(ctx context.Context, c Contender, sc Scene, p place, note func(string)) (s *stage, err error) {
	s = &stage{scene: sc, program: c.Program, place: p, note: note, weights: map[int]int{}, served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.lab, err = lab.New(lab.Options{}); err != nil {
		return s, err
	}
	if err := s.settle(); err != nil {
		return s, err
	}
	if s.silence, err = newSilence(s.backends()); err != nil {
		return s, err
	}
	if err := s.serve(ctx); err != nil {
		return s, err
	}
	if err := p.spread(); err != nil {
		return s, err
	}
	if err := s.start(ctx); err != nil {
		return s, err
	}
	return s, p.makeRoom()
}

// close ends all of it. A daemon or a server that has not held out is an error.
func (s *stage) close() error {
	errs := []error{s.place.spread()}
	if s.daemon != nil {
		errs = append(errs, s.daemon.Stop())
	}
	if s.stopServer != nil {
		s.stopServer()
		if err := <-s.served; !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("the backends: %w", err))
		}
	}
	if s.silence != nil {
		errs = append(errs, s.silence.close())
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}
