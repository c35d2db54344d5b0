package daemon

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// maxLines is how many lines of the log wait at most for whoever reads them.
	maxLines = 1024
	// lastLines bounds how long the end waits for the last of them to be taken.
	lastLines = time.Second
)

// lines are those of the log on their way to its file: a pipe whose reader has stopped, or a
// terminal that was told to (Ctrl-S), takes none, and the balancer must not stand still for it.
// What there is no room for is lost, and in its place is one line that says how many are.
type lines struct {
	encoder zapcore.Encoder
	queue   chan []byte
	ended   chan struct{} // the last one is written

	mu     sync.Mutex
	closed bool
	lost   int // since the last one that was queued
}

// newLines returns an empty queue to a file. It is ended by end.
func newLines(to io.Writer, e zapcore.Encoder) *lines {
	l := &lines{encoder: e, queue: make(chan []byte, maxLines), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for line := range l.queue {
			_, _ = to.Write(line) // there is nowhere to say so
		}
	}()
	return l
}

// Write queues a line. It never waits.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
	case l.lost > 0 && !l.put(l.lostLine()):
		l.lost++
	case !l.put(bytes.Clone(line)):
		l.lost = 1
	default:
		l.lost = 0
	}
	return len(line), nil
}

// put queues a line, and reports whether there was room. The lock is held.
func (l *lines) put(line []byte) bool {
	select {
	case l.queue <- line:
		return true
	default:
		return false
	}
}

func (l *lines) lostLine() []byte {
	b, err := l.encoder.EncodeEntry(zapcore.Entry{
		Level: zapcore.WarnLevel, Time: time.Now(), Message: fmt.Sprintf("%d lines of the log are lost: nobody has read it", l.lost),
	}, nil)
	if err != nil {
		return nil // it encodes what it is made for
	}
	return b.Bytes()
}

// Sync is for zap, which wants one. Lines are on their way as soon as they are queued.
func (l *lines) Sync() error { return nil }

// end waits for the last lines to be taken, for a moment. What is logged later is lost.
func (l *lines) end() {
	l.mu.Lock()
	if !l.closed {
		if l.lost > 0 {
			l.put(l.lostLine())
		}
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(lastLines):
	}
}
