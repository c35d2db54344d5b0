package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Fragments cuts a frame without padding into fragments, as its sender would (RFC 791, 2.3;
// RFC 8200, 4.5), each with so many bytes of the packet, a multiple of 8, and the last one
// with the rest. IPv6 takes the identification id, IPv4 has one.
func Fragments(frame []byte, id uint32, size int) (list [][]byte) {
	head, data := fragmentable(frame)
	for from := 0; from < len(data); from += size {
		to := min(from+size, len(data))
		b := bytes.Clone(frame[:head])
		l3 := ipAt(b)
		place, more := uint16(from/8), to < len(data)
		if b[l3]>>4 == 4 {
			if more {
				place |= 0x2000
			}
			binary.BigEndian.PutUint16(b[l3+6:], place)
		} else {
			if place <<= 3; more {
				place |= 1
			}
			next := nextHeader(b)
			h := []byte{b[next], 0, byte(place >> 8), byte(place), 0, 0, 0, 0}
			binary.BigEndian.PutUint32(h[4:], id)
			b[next] = 44
			b = append(b, h...)
		}
		b = append(b, data[from:to]...)
		Resize(b)
		list = append(list, b)
	}
	return list
}

// Assemble puts the fragments of one packet together, which may come in any order, and
// returns the frame that they were: an error if it can't be. Their headers must be alike
// but for what tells them apart.
func Assemble(fragments [][]byte) ([]byte, error) {
	type piece struct {
		from int
		more bool
		data []byte
	}
	if len(fragments) == 0 {
		return nil, errors.New("no fragments")
	}
	var pieces []piece
	var front []byte
	for _, f := range fragments {
		head, data := fragmentable(f)
		b := bytes.Clone(f[:head])
		l3 := ipAt(b)
		var p piece
		if b[l3]>>4 == 4 {
			if Sum(b[l3:]) != 0 {
				return nil, errors.New("wrong IPv4 header checksum")
			}
			place := binary.BigEndian.Uint16(b[l3+6:])
			p = piece{int(place&0x1fff) * 8, place&0x2000 != 0, data}
			binary.BigEndian.PutUint16(b[l3+6:], place&0x4000)
			clear(b[l3+2 : l3+4])
			clear(b[l3+10 : l3+12])
		} else {
			at := nextHeader(b)
			if b[at] != 44 {
				return nil, errors.New("no fragment header")
			}
			place := binary.BigEndian.Uint16(data[2:])
			p = piece{int(place &^ 7), place&1 != 0, data[8:]}
			b[at] = data[0]
			clear(b[l3+4 : l3+6])
		}
		if front == nil {
			front = b
		} else if !bytes.Equal(front, b) {
			return nil, fmt.Errorf("headers differ: %x and %x", front, b)
		}
		pieces = append(pieces, p)
	}
	slices.SortFunc(pieces, func(a, b piece) int { return a.from - b.from })
	whole := bytes.Clone(front)
	for i, p := range pieces {
		if at := len(whole) - len(front); p.from != at || p.more != (i < len(pieces)-1) {
			return nil, fmt.Errorf("a fragment at %d, more %v, behind %d bytes", p.from, p.more, at)
		}
		whole = append(whole, p.data...)
	}
	Resize(whole)
	return whole, nil
}

// Resize writes the length of the IP packet of frame, which ends with it, and the checksum of
// its header.
func Resize(frame []byte) {
	ip := frame[ipAt(frame):]
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		return
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	clear(ip[10:12])
	binary.BigEndian.PutUint16(ip[10:], ^Sum(ip[:int(ip[0]&15)*4]))
}

// ipAt returns where the IP header is.
func ipAt(frame []byte) int {
	at := 12
	for kind := binary.BigEndian.Uint16(frame[at:]); kind == 0x8100 || kind == 0x88a8; kind = binary.BigEndian.Uint16(frame[at:]) {
		at += 4
	}
	return at + 2
}

// fragmentable returns where the part of frame begins that fragments are made of, or in which they
// have their own header, and that part: in IPv6 behind the hop-by-hop and routing headers.
func fragmentable(frame []byte) (at int, data []byte) {
	l3 := ipAt(frame)
	if frame[l3]>>4 == 4 {
		at = l3 + int(frame[l3]&15)*4
		return at, frame[at : l3+int(binary.BigEndian.Uint16(frame[l3+2:]))]
	}
	at = l3 + 40
	for next := frame[l3+6]; next == 0 || next == 43; {
		next, at = frame[at], at+(int(frame[at+1])+1)*8
	}
	return at, frame[at : l3+40+int(binary.BigEndian.Uint16(frame[l3+4:]))]
}

// nextHeader returns where in the front of an IPv6 packet the last next-header field is.
func nextHeader(front []byte) int {
	l3 := ipAt(front)
	field, at := l3+6, l3+40
	for front[field] == 0 || front[field] == 43 {
		field, at = at, at+(int(front[at+1])+1)*8
	}
	return field
}
