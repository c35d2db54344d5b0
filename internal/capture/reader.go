package capture

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrDamaged says that a file is not what its beginning says.
var ErrDamaged = errors.New("the capture file is damaged")

// Reader reads one file.
type Reader struct {
	in         *bufio.Reader
	order      binary.ByteOrder
	format     Format
	interfaces []Interface
	section    int // pcapng: index of the section's first interface
	unread     int // bytes of in that the packet before has
	number     int // of packets so far
	last       time.Time
}

// NewReader returns a reader of a file. The caller closes what is behind in.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 2*MaxLength), last: time.Unix(0, 0).UTC()}
	if b, _ := r.in.Peek(2); len(b) == 2 && binary.LittleEndian.Uint16(b) == magicGzip {
		unzipped, err := gzip.NewReader(r.in)
		if err != nil {
			return nil, fmt.Errorf("read a capture file: %w", err)
		}
		r.in = bufio.NewReaderSize(unzipped, 2*MaxLength)
	}
	b, err := r.in.Peek(24)
	if len(b) < 24 {
		if err == io.EOF {
			err = fmt.Errorf("%w: it has %d bytes", ErrDamaged, len(b))
		}
		return nil, fmt.Errorf("read a capture file: %w", err)
	}
	if binary.LittleEndian.Uint32(b) == magicSection {
		r.format.NG = true
		return r, nil
	}
	for _, r.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if magic := r.order.Uint32(b); magic == magicMicro || magic == magicNano {
			return r, r.readHeader(b, magic)
		}
	}
	return nil, fmt.Errorf("read a capture file: it begins with %x; want pcap or pcapng, gzipped or not", b[:4])
}

// readHeader reads the header of a pcap file.
func (r *Reader) readHeader(b []byte, magic uint32) error {
	if major := r.order.Uint16(b[4:]); major != 2 {
		return fmt.Errorf("read a capture file: pcap of version %d; want 2", major)
	}
	one := Interface{LinkType: r.order.Uint16(b[20:]), units: 1e6}
	if magic == magicNano {
		r.format.Nano, one.units = true, 1e9
	}
	if r.order == binary.BigEndian { // LinkType is in the lower half of 32 bits
		one.LinkType = r.order.Uint16(b[22:])
	}
	r.interfaces, r.unread = []Interface{one}, 24
	return nil
}

// Format returns the file's.
func (r *Reader) Format() Format { return r.format }

// Interfaces returns those that the file has told of so far: of a pcap file the one that
// it has. The slice is the reader's own.
func (r *Reader) Interfaces() []Interface { return r.interfaces }

// Next returns the next packet, whose data is there until the next call. It returns
// [io.EOF] at the file's end, and an error that wraps [ErrDamaged] if that comes too early
// or something is wrong.
func (r *Reader) Next() (p Packet, err error) {
	if r.format.NG {
		p, err = r.nextBlock()
	} else {
		p, err = r.nextRecord()
	}
	switch {
	case err == io.EOF:
		return Packet{}, err
	case err != nil:
		return Packet{}, fmt.Errorf("packet %d: %w", r.number+1, err)
	}
	r.number++
	if p.Time.IsZero() {
		p.Time = r.last
	}
	r.last = p.Time
	return p, nil
}

// skip leaves what was read.
func (r *Reader) skip() error {
	n, err := r.in.Discard(r.unread)
	if r.unread -= n; err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return why(err)
}

// peek returns the next n bytes, which stay unread. At the end of the file it returns
// io.EOF.
func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.in.Peek(n)
	if err == io.EOF && len(b) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return b, why(err)
}

// why says of an error in reading whether the file is damaged.
func why(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends in the middle", ErrDamaged)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// nextRecord reads a packet of a pcap file.
func (r *Reader) nextRecord() (Packet, error) {
	const header = 16
	if err := r.skip(); err != nil {
		return Packet{}, err
	}
	b, err := r.peek(header)
	if err != nil {
		return Packet{}, err
	}
	seconds, fraction := r.order.Uint32(b), r.order.Uint32(b[4:])
	captured, length := r.order.Uint32(b[8:]), r.order.Uint32(b[12:])
	if captured > MaxLength {
		return Packet{}, fmt.Errorf("%w: a packet of %d bytes; want %d at most", ErrDamaged, captured, MaxLength)
	}
	if b, err = r.peek(header + int(captured)); err != nil {
		return Packet{}, err
	}
	r.unread = len(b)
	return Packet{
		Time: time.Unix(int64(seconds), int64(fraction)*int64(1e9/r.interfaces[0].units)).UTC(),
		Data: b[header:], Length: max(int(length), int(captured)),
	}, nil
}
