package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Relayed is what went through [Relay], in whole blocks.
type Relayed struct {
	Bytes   int64
	Packets map[int]uint64 // by interface
	Dropped uint64         // by the last statistics of each interface
}

// relayed is how many bytes of blocks are written at once, or a few more.
const relayed = 1 << 16

// Relay copies a pcapng file of little-endian order, as a [Writer] makes it, while it comes: in
// whole blocks, so that what is there is a file at any time, whatever becomes of who sends it; only
// a write that fails can leave a part of one behind the first Bytes. It returns
// [io.ErrUnexpectedEOF] if from ended within a block, and writes what it has whenever there is
// nothing more to read.
func Relay(to io.Writer, from io.Reader) (Relayed, error) {
	r := relay{to: to, in: bufio.NewReaderSize(from, relayed), dropped: map[uint32]uint64{}}
	r.sum.Packets = map[int]uint64{}
	err := r.read()
	if !r.failed {
		err = errors.Join(err, r.write())
	}
	return r.sum, err
}

// relay is what Relay is at.
type relay struct {
	to      io.Writer
	in      *bufio.Reader
	blocks  []byte // that are to be written
	failed  bool   // to write
	sum     Relayed
	dropped map[uint32]uint64 // by interface
}

// read reads blocks to the end.
func (r *relay) read() error {
	for {
		if r.in.Buffered() == 0 || len(r.blocks) >= relayed {
			if err := r.write(); err != nil {
				return err
			}
		}
		var head [8]byte
		if _, err := io.ReadFull(r.in, head[:]); err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		n := binary.LittleEndian.Uint32(head[4:])
		if n < 12 || n%4 != 0 || n > maxBlock {
			return fmt.Errorf("%w: a block of %d bytes", ErrDamaged, n)
		}
		start := len(r.blocks)
		r.blocks = append(slices.Grow(r.blocks, int(n)), head[:]...)[:start+int(n)]
		if _, err := io.ReadFull(r.in, r.blocks[start+8:]); err != nil {
			r.blocks = r.blocks[:start]
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// write writes the blocks, and takes into account those that are written as a whole.
func (r *relay) write() error {
	n, err := 0, error(nil)
	if len(r.blocks) > 0 {
		n, err = r.to.Write(r.blocks)
	}
	if r.failed = err != nil; r.failed {
		err = fmt.Errorf("write a capture file: %w", err)
	}
	for rest := r.blocks[:n]; len(rest) >= 8; {
		length := int(binary.LittleEndian.Uint32(rest[4:]))
		if length > len(rest) {
			break
		}
		if told := r.account(rest[:length]); err == nil {
			err = told
		}
		rest = rest[length:]
	}
	r.blocks = r.blocks[:0]
	return err
}

// account takes one block into account.
func (r *relay) account(block []byte) error {
	r.sum.Bytes += int64(len(block))
	switch kind := binary.LittleEndian.Uint32(block); {
	case kind == blockEnhanced && len(block) >= 32:
		r.sum.Packets[int(binary.LittleEndian.Uint32(block[8:]))]++
	case kind == blockStatistics && len(block) >= 24:
		id := binary.LittleEndian.Uint32(block[8:])
		options := Reader{order: binary.LittleEndian}
		return options.options(block[20:len(block)-4], func(code uint16, value []byte) error {
			if code == optionDropped && len(value) == 8 {
				r.sum.Dropped += binary.LittleEndian.Uint64(value) - r.dropped[id]
				r.dropped[id] = binary.LittleEndian.Uint64(value)
			}
			return nil
		})
	}
	return nil
}
