package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Relayed is what went through [Relay].
type Relayed struct {
	Packets map[int]uint64 // by interface
	Dropped uint64         // by the last statistics of each interface
}

// Relay copies a pcapng file of little-endian order, as a [Writer] makes it, while it comes: in
// whole blocks, so that what is there is a file at any time, whatever becomes of who sends it. It
// returns [io.ErrUnexpectedEOF] if that ended within a block, and flushes to whenever there is
// nothing more to read.
func Relay(to io.Writer, from io.Reader) (sum Relayed, err error) {
	in, out := bufio.NewReaderSize(from, 1<<16), bufio.NewWriterSize(to, 1<<16)
	defer func() { err = errors.Join(err, out.Flush()) }()
	sum.Packets = map[int]uint64{}
	dropped := map[uint32]uint64{}
	block := make([]byte, 0, 1<<12)
	for {
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return sum, fmt.Errorf("write a capture file: %w", err)
			}
		}
		head := block[:8]
		if _, err := io.ReadFull(in, head); err != nil {
			if err == io.EOF {
				err = nil
			}
			return sum, err
		}
		n := binary.LittleEndian.Uint32(head[4:])
		if n < 12 || n%4 != 0 || n > maxBlock {
			return sum, fmt.Errorf("%w: a block of %d bytes", ErrDamaged, n)
		}
		if cap(block) < int(n) {
			block = append(make([]byte, 0, n), head...)
		}
		block = block[:n]
		if _, err := io.ReadFull(in, block[8:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return sum, err
		}
		if _, err := out.Write(block); err != nil {
			return sum, fmt.Errorf("write a capture file: %w", err)
		}
		switch kind := binary.LittleEndian.Uint32(block); {
		case kind == blockEnhanced && n >= 32:
			sum.Packets[int(binary.LittleEndian.Uint32(block[8:]))]++
		case kind == blockStatistics && n >= 24:
			id := binary.LittleEndian.Uint32(block[8:])
			r := Reader{order: binary.LittleEndian}
			err := r.options(block[20:n-4], func(code uint16, value []byte) error {
				if code == optionDropped && len(value) == 8 {
					sum.Dropped += binary.LittleEndian.Uint64(value) - dropped[id]
					dropped[id] = binary.LittleEndian.Uint64(value)
				}
				return nil
			})
			if err != nil {
				return sum, err
			}
		}
	}
}
