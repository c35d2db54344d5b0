package rig

import (
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/packet"
)

// costs is what a packet takes of the reference, in ns.
type costs struct{ parse, lookup float64 }

// reference measures the Go map on the packets that worker 0 gets, on its CPU.
func (r *Rig) reference(m *goMap, sizes traffic.Sizes, packets int) (costs, error) {
	frames, err := traffic.NewFrames(r.config.Family, sizes, backends, r.ends)
	if err != nil {
		return costs{}, err
	}
	type answer struct {
		costs
		err error
	}
	done := make(chan answer)
	go func() {
		if err := pin(0); err != nil {
			done <- answer{err: err}
			return
		}
		c := newComparison(m, r.lines[0].packets, frames)
		c.run(min(packets, 2*len(c.packets)))
		c.reset()
		c.run(packets)
		done <- answer{c.costs(), c.err()}
	}()
	a := <-done
	return a.costs, a.err
}

// comparison runs the reference: batches of the same frames in the same order are
// parsed, and then each key is looked up, the two timed apart.
type comparison struct {
	m       *goMap
	frames  *traffic.Frames
	packets []traffic.Packet
	next    int

	room   [batch][frameSize]byte
	length [batch]int
	parsed [batch]packet.Packet

	batches       int
	parse, lookup time.Duration
	missing       int
}

func newComparison(m *goMap, packets []traffic.Packet, frames *traffic.Frames) *comparison {
	return &comparison{m: m, packets: packets, frames: frames}
}

func (c *comparison) run(packets int) {
	since := time.Now()
	for ; packets > 0; packets -= batch {
		for i := range c.room {
			c.length[i] = c.frames.Write(c.room[i][:], c.packets[c.next])
			if c.next++; c.next == len(c.packets) {
				c.next = 0
			}
		}
		start := time.Since(since)
		for i := range c.parsed {
			if packet.Parse(c.room[i][:c.length[i]], &c.parsed[i]) != packet.Pending {
				c.missing++
			}
		}
		middle := time.Since(since)
		for i := range c.parsed {
			if _, ok := c.m.get(&c.parsed[i].Key); !ok {
				c.missing++
			}
		}
		end := time.Since(since)
		c.parse += middle - start
		c.lookup += end - middle
		c.batches++
	}
}

func (c *comparison) reset() { c.batches, c.parse, c.lookup = 0, 0, 0 }

func (c *comparison) costs() costs {
	n := float64(c.batches * batch)
	return costs{float64(c.parse.Nanoseconds()) / n, float64(c.lookup.Nanoseconds()) / n}
}

// err reports whether every packet's flow was found: a lookup that finds nothing is no
// reference.
func (c *comparison) err() error {
	if c.missing > 0 {
		return fmt.Errorf("rig: the reference did not know %d packets", c.missing)
	}
	return nil
}
