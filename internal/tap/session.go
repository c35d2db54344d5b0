package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/capture"
)

// session is a capture that is written.
type session struct {
	tap     *engine.Tap
	names   func() []string // of the ports
	out     *capture.Writer
	sides   []side // interfaces of the file, by index
	left    uint64 // packets, if bounded
	bounded bool
	told    time.Time
	comment []byte
}

// side is one direction of a port, which is an interface of the file.
type side struct {
	port      uint8
	direction capture.Direction
	taken     uint64
}

// run writes until ctx ends, or all is there. An error is of the writing.
func (s *session) run(ctx context.Context, to io.Writer) (err error) {
	if s.out, err = capture.NewWriter(to, capture.Format{NG: true}); err != nil {
		return err
	}
	for port := range s.names() {
		if err := s.add(uint8(port)); err != nil {
			return err
		}
	}
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for ended := false; ; {
		if err := s.fetch(); err != nil {
			return err
		}
		ended = ended || s.bounded && s.left == 0
		if now := time.Now(); ended || now.Sub(s.told) >= tellEvery {
			if err := s.tell(now); err != nil {
				return err
			}
		}
		if err := s.out.Flush(); err != nil || ended {
			return err
		}
		select {
		case <-ctx.Done():
			ended = true // what was copied until now is taken along
		case <-tick.C:
		}
	}
}

// fetch writes what the workers have copied.
func (s *session) fetch() (err error) {
	s.tap.Read(func(c *engine.Captured) bool {
		if s.bounded && s.left == 0 {
			return false
		}
		if s.bounded {
			s.left--
		}
		err = s.write(c)
		return err == nil
	})
	return err
}

// write writes a packet as it came, and if it left, as it left.
func (s *session) write(c *engine.Captured) error {
	s.comment = describe(s.comment[:0], c)
	p := capture.Packet{Time: c.Time, Data: c.Before, Length: c.Length, Comment: string(s.comment), Direction: capture.Inbound}
	if err := s.put(&p, c.In); err != nil || c.After == nil {
		return err
	}
	p.Data, p.Length, p.Direction = c.After, c.Left, capture.Outbound
	return s.put(&p, c.Out)
}

func (s *session) put(p *capture.Packet, port uint8) (err error) {
	if p.Interface, err = s.side(port, p.Direction); err != nil {
		return err
	}
	s.sides[p.Interface].taken++
	return s.out.Write(p)
}

// side returns the index of a port's direction among the file's interfaces.
func (s *session) side(port uint8, d capture.Direction) (index int, err error) {
	for i := range s.sides {
		if s.sides[i].port == port && s.sides[i].direction == d {
			return i, nil
		}
	}
	if err := s.add(port); err != nil { // it has come since
		return 0, err
	}
	return s.side(port, d)
}

// add gives a port its two interfaces: what it receives is at even indices, as [Packets] counts.
func (s *session) add(port uint8) error {
	name := fmt.Sprintf("port %d", port)
	if names := s.names(); int(port) < len(names) && names[port] != "" {
		name = names[port]
	}
	s.sides = append(s.sides, side{port: port, direction: capture.Inbound}, side{port: port, direction: capture.Outbound})
	_, in := s.out.AddInterface(name+":in", "as received by "+name)
	_, out := s.out.AddInterface(name+":out", "as sent by "+name)
	return errors.Join(in, out)
}

// Packets returns how many packets a capture has, by what went through: those that left count once.
func Packets(r *capture.Relayed) (n uint64) {
	for i, k := range r.Packets {
		if i%2 == 0 {
			n += k
		}
	}
	return n
}

// tell writes statistics of each interface. What was lost is of no interface: the first one has it.
func (s *session) tell(now time.Time) error {
	s.told = now
	stats := s.tap.Stats()
	for i := range s.sides {
		out := capture.Statistics{Interface: i, Time: now, Taken: s.sides[i].taken}
		if i == 0 {
			out.Dropped = stats.Dropped
			out.Comment = fmt.Sprintf("copies lost, as they were not read in time: %d; left out by the limit of the rate: %d", stats.Dropped, stats.Limited)
		}
		if err := s.out.WriteStatistics(&out); err != nil {
			return err
		}
	}
	return nil
}

// describe says what became of a packet.
func describe(b []byte, c *engine.Captured) []byte {
	if c.Verdict.IsDrop() {
		b = append(b, "dropped: "...)
	}
	b = append(b, c.Verdict.String()...)
	if c.Service != "" {
		b = append(append(b, "; service "...), c.Service...)
	}
	if c.Backend != "" {
		b = append(append(b, "; backend "...), c.Backend...)
		if c.Reply {
			b = append(b, "; reply"...)
		} else {
			b = append(b, "; request"...)
		}
	}
	return fmt.Appendf(b, "; worker %d", c.Worker)
}
