package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// server is the guest's side.
type server struct {
	mu      sync.Mutex
	out     *json.Encoder
	running map[int]*os.Process
}

// Serve says that the guest is there and does what is asked, until the port closes.
// What still runs then goes on.
func Serve(r io.Reader, w io.Writer, release string) error {
	s := &server{out: json.NewEncoder(w), running: map[int]*os.Process{}}
	s.send(message{Release: release})
	for in := json.NewDecoder(r); ; {
		var m message
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what is asked for: %w", err)
		}
		switch {
		case len(m.Args) > 0:
			s.start(m.ID, m.Args)
		case m.Signal != 0:
			s.mu.Lock()
			p := s.running[m.ID]
			s.mu.Unlock()
			if p != nil { // it may have ended meanwhile
				_ = p.Signal(syscall.Signal(m.Signal))
			}
		case m.Path != "":
			s.done(m.ID, 0, os.WriteFile(m.Path, m.Data, 0o644))
		}
	}
}

// start runs a program. Its output is sent as it comes, the end after all of it.
func (s *server) start(id int, args []string) {
	c := exec.Command(args[0], args[1:]...)
	c.Stdout = output{s, id}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		s.done(id, -1, err)
		return
	}
	s.mu.Lock()
	s.running[id] = c.Process
	s.mu.Unlock()
	go func() {
		err := c.Wait()
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			err = nil
		}
		s.mu.Lock()
		delete(s.running, id)
		s.mu.Unlock()
		s.done(id, c.ProcessState.ExitCode(), err)
	}()
}

// done tells how something ended.
func (s *server) done(id, code int, err error) {
	m := message{ID: id, Exit: &code}
	if err != nil {
		code, m.Error = -1, err.Error()
	}
	s.send(m)
}

// send writes one message. An error is the port's end, which the reader notices.
func (s *server) send(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(m)
}

// output sends what a program prints.
type output struct {
	s  *server
	id int
}

func (o output) Write(b []byte) (int, error) {
	o.s.send(message{ID: o.id, Output: b})
	return len(b), nil
}
