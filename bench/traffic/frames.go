package traffic

import (
	"fmt"

	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Sizes is a mixture of frame lengths.
type Sizes string

// The mixtures. A TCP segment over IPv6 does not fit into 64 bytes: there the
// smallest frame is the bare headers, 78 bytes on the wire.
const (
	Small Sizes = "64B"
	IMIX  Sizes = "IMIX" // 64, 570 and 1518 bytes on the wire, 7:4:1
)

// pattern returns the lengths of consecutive frames.
func (s Sizes) pattern() ([]int, error) {
	const a, b, c = Smallest, Middle, Largest
	switch s {
	case Small:
		return []int{a}, nil
	case IMIX:
		return []int{a, b, a, a, b, a, c, a, b, a, a, b}, nil
	}
	return nil, fmt.Errorf("frame sizes %q: want %s or %s", string(s), Small, IMIX)
}

// Frames writes frames of one family in a mixture of sizes: data that clients and
// backends send on established connections.
type Frames struct {
	requests []*Template   // by place in the pattern
	replies  [][]*Template // by backend, then place
	ends     []End         // by flow, where replies go; nil: to the client
	place    int
}

// NewFrames returns a writer. With ends, which are those that [Family.Source] has, by flow,
// replies go there and not to the clients.
func NewFrames(f Family, s Sizes, backends int, ends []End) (*Frames, error) {
	pattern, err := s.pattern()
	if err != nil {
		return nil, err
	}
	made := map[[2]int]*Template{} // one for each length, or they fill the cache
	get := func(backend, length int) *Template {
		at := [2]int{backend, length}
		if made[at] == nil && backend < 0 {
			made[at] = NewRequest(f, packet.TCPAck, length)
		} else if made[at] == nil && ends == nil {
			made[at] = NewReply(f, backend, packet.TCPAck, length)
		} else if made[at] == nil {
			made[at] = NewAnswer(f, backend, packet.TCPAck, length)
		}
		return made[at]
	}
	fs := &Frames{ends: ends, replies: make([][]*Template, backends)}
	for _, n := range pattern {
		fs.requests = append(fs.requests, get(-1, n))
		for b := range backends {
			fs.replies[b] = append(fs.replies[b], get(b, n))
		}
	}
	return fs, nil
}

// Write writes the next frame, with p's flow and direction, to b, which has zeros
// where the payload goes, and returns its length.
func (fs *Frames) Write(b []byte, p Packet) int {
	if fs.place++; fs.place == len(fs.requests) {
		fs.place = 0
	}
	if p.Direction() == conntrack.Request {
		return fs.requests[fs.place].Write(b, p.Flow())
	}
	if fs.ends != nil {
		return fs.replies[p.Backend()][fs.place].WriteTo(b, fs.ends[p.Flow()])
	}
	return fs.replies[p.Backend()][fs.place].Write(b, p.Flow())
}
