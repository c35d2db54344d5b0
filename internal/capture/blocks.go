package capture

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// maxBlock bounds a block whose content is of use. What is only skipped may be larger.
const maxBlock = 2 * MaxLength

// What a file may have us remember is bounded too: each section has interfaces of its own.
const (
	maxInterfaces = 1 << 14
	maxName       = 256 // bytes, far more than any system's
)

// nextBlock reads a pcapng file up to the next packet.
func (r *Reader) nextBlock() (Packet, error) {
	for {
		if err := r.skip(); err != nil {
			return Packet{}, err
		}
		b, err := r.peek(12)
		if err != nil {
			return Packet{}, err
		}
		if binary.LittleEndian.Uint32(b) == magicSection {
			if err := r.readSection(); err != nil {
				return Packet{}, err
			}
		} else if r.order == nil {
			return Packet{}, fmt.Errorf("%w: it does not begin with a section", ErrDamaged)
		}
		kind, length := r.order.Uint32(b), r.order.Uint32(b[4:])
		if length < 12 || length%4 != 0 || length > 1<<30 {
			return Packet{}, fmt.Errorf("%w: a block of %d bytes", ErrDamaged, length)
		}
		r.unread = int(length)
		switch kind {
		case blockInterface, blockEnhanced, blockSimple, blockObsolete:
		default:
			continue
		}
		if length > maxBlock {
			return Packet{}, fmt.Errorf("%w: a block of %d bytes; want %d at most", ErrDamaged, length, maxBlock)
		}
		if b, err = r.peek(int(length)); err != nil {
			return Packet{}, err
		}
		body := b[8 : length-4]
		if again := r.order.Uint32(b[length-4:]); again != length {
			return Packet{}, fmt.Errorf("%w: a block of %d bytes, which ends as one of %d", ErrDamaged, length, again)
		}
		if kind != blockInterface {
			return r.readPacket(kind, body)
		}
		if err := r.readInterface(body); err != nil {
			return Packet{}, err
		}
	}
}

// readSection begins a section: its byte order and its interfaces are its own.
func (r *Reader) readSection() error {
	b, err := r.peek(16)
	if err != nil {
		return err
	}
	if r.order, err = orderOf(b[8:]); err != nil {
		return err
	}
	if major := r.order.Uint16(b[12:]); major != 1 {
		return fmt.Errorf("%w: pcapng of version %d; want 1", ErrDamaged, major)
	}
	r.section = len(r.interfaces)
	return nil
}

// orderOf returns the byte order of a section by its magic.
func orderOf(magic []byte) (binary.ByteOrder, error) {
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if o.Uint32(magic) == magicOrder {
			return o, nil
		}
	}
	return nil, fmt.Errorf("%w: a section with the byte order %x", ErrDamaged, magic[:4])
}

// readInterface reads an interface description block.
func (r *Reader) readInterface(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: an interface in %d bytes", ErrDamaged, len(b))
	}
	if len(r.interfaces) == maxInterfaces {
		return fmt.Errorf("%w: it has more than %d interfaces", ErrDamaged, maxInterfaces)
	}
	one := Interface{LinkType: r.order.Uint16(b), length: int(r.order.Uint32(b[4:])), units: 1e6}
	err := r.options(b[8:], func(code uint16, value []byte) error {
		switch n := len(value); {
		case code == optionName:
			one.Name = string(value[:min(n, maxName)])
		case code == optionResolution && n == 1:
			var ok bool
			if one.units, ok = resolution(value[0]); !ok {
				return fmt.Errorf("%w: timestamps of resolution %#x", ErrDamaged, value[0])
			}
		case code == optionOffset && n == 8:
			one.offset = int64(r.order.Uint64(value))
		}
		return nil
	})
	r.interfaces = append(r.interfaces, one)
	return err
}

// options visits the options that b has.
func (r *Reader) options(b []byte, visit func(code uint16, value []byte) error) error {
	for len(b) >= 4 {
		code, n := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if b = b[4:]; code == optionEnd {
			break
		}
		padded := (n + 3) &^ 3
		if padded > len(b) {
			return fmt.Errorf("%w: an option of %d bytes", ErrDamaged, n)
		}
		if err := visit(code, b[:n]); err != nil {
			return err
		}
		b = b[padded:]
	}
	return nil
}

// resolution returns how many of a timestamp's units a second has: a power of ten, or of
// two if the highest bit is set.
func resolution(code byte) (units uint64, ok bool) {
	exponent := code & 0x7f
	if code&0x80 != 0 {
		return 1 << (exponent & 63), exponent < 64
	}
	units = 1
	for range min(exponent, 19) {
		units *= 10
	}
	return units, exponent <= 19
}

// readPacket reads the body of a block with a packet.
func (r *Reader) readPacket(kind uint32, b []byte) (p Packet, err error) {
	header := 20
	if kind == blockSimple {
		header = 4
	}
	if len(b) < header {
		return p, fmt.Errorf("%w: a packet block of %d bytes", ErrDamaged, len(b))
	}
	var id, high, low, captured, length uint32
	switch kind {
	case blockSimple:
		length = r.order.Uint32(b)
		captured = length
	case blockObsolete:
		id = uint32(r.order.Uint16(b)) // and a count of drops
	default:
		id = r.order.Uint32(b)
	}
	if kind != blockSimple {
		high, low, captured, length = r.order.Uint32(b[4:]), r.order.Uint32(b[8:]), r.order.Uint32(b[12:]), r.order.Uint32(b[16:])
	}
	if uint64(id) >= uint64(len(r.interfaces)-r.section) {
		return p, fmt.Errorf("%w: a packet of interface %d, of %d", ErrDamaged, id, len(r.interfaces)-r.section)
	}
	p.Interface = r.section + int(id)
	by := &r.interfaces[p.Interface]
	if kind == blockSimple && by.length > 0 {
		captured = min(captured, uint32(by.length))
	}
	if uint64(captured) > uint64(len(b)-header) || captured > MaxLength {
		return p, fmt.Errorf("%w: a packet of %d bytes in a block of %d", ErrDamaged, captured, len(b))
	}
	if kind != blockSimple {
		var ok bool
		if p.Time, ok = by.time(uint64(high)<<32 | uint64(low)); !ok {
			return p, fmt.Errorf("%w: a packet after the year 9999 or before 1970", ErrDamaged)
		}
	}
	p.Data, p.Length = b[header:header+int(captured)], max(int(length), int(captured))
	if padded := header + int(captured+3)&^3; kind == blockEnhanced && padded < len(b) {
		err = r.options(b[padded:], func(code uint16, value []byte) error {
			switch {
			case code == optionComment && p.Comment == "": // there may be several
				p.Comment = string(value)
			case code == optionFlags && len(value) == 4:
				p.Direction = Direction(r.order.Uint32(value) & 3)
			}
			return nil
		})
	}
	return p, err
}

// lastSecond is the last of the year 9999: RFC 3339 has no others.
const lastSecond = 253402300799

// time returns what a timestamp means, and whether that can be.
func (i *Interface) time(stamp uint64) (t time.Time, ok bool) {
	high, low := bits.Mul64(stamp%i.units, 1e9)
	ns, _ := bits.Div64(high, low, i.units)
	seconds := stamp / i.units
	if seconds > lastSecond || i.offset > lastSecond || i.offset < -lastSecond {
		return t, false
	}
	at := int64(seconds) + i.offset
	return time.Unix(at, int64(ns)).UTC(), at >= 0 && at <= lastSecond
}
