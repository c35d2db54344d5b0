package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Writer writes one file.
type Writer struct {
	out        *bufio.Writer
	format     Format
	interfaces int
	options    []byte // of the packet that is written
}

// NewWriter returns a writer of a file of Ethernet frames on these interfaces, which only
// pcapng tells of. Flush ends it.
func NewWriter(out io.Writer, f Format, interfaces ...string) (*Writer, error) {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<16), format: f, interfaces: len(interfaces)}
	var b []byte
	if f.NG {
		b = block(b, magicSection, func(b []byte) []byte {
			b = binary.LittleEndian.AppendUint32(b, magicOrder)
			b = binary.LittleEndian.AppendUint32(b, 1)             // version 1.0
			return binary.LittleEndian.AppendUint64(b, ^uint64(0)) // the section's length is not known
		})
		for _, name := range interfaces {
			b = block(b, blockInterface, func(b []byte) []byte { return describe(b, name, "") })
		}
	} else {
		magic := uint32(magicMicro)
		if f.Nano {
			magic = magicNano
		}
		b = binary.LittleEndian.AppendUint32(b, magic)
		b = binary.LittleEndian.AppendUint32(b, 2|4<<16) // version 2.4
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = binary.LittleEndian.AppendUint32(b, MaxLength)
		b = binary.LittleEndian.AppendUint32(b, Ethernet)
	}
	if _, err := w.out.Write(b); err != nil {
		return nil, fmt.Errorf("write a capture file: %w", err)
	}
	return w, nil
}

// AddInterface adds one to a pcapng file, and returns its index.
func (w *Writer) AddInterface(name, about string) (index int, err error) {
	w.interfaces++
	return w.interfaces - 1, w.block(blockInterface, func(b []byte) []byte { return describe(b, name, about) })
}

// Statistics are what is known of an interface at a time, from the capture's beginning on.
type Statistics struct {
	Interface      int
	Time           time.Time
	Taken, Dropped uint64 // packets; Dropped are those of which the file has none
	Comment        string
}

// WriteStatistics writes an interface statistics block to a pcapng file. The last one of an
// interface counts.
func (w *Writer) WriteStatistics(s *Statistics) error {
	stamp := uint64(s.Time.UnixNano())
	var high []byte
	high = binary.LittleEndian.AppendUint32(high, uint32(stamp>>32))
	high = binary.LittleEndian.AppendUint32(high, uint32(stamp))
	return w.block(blockStatistics, func(b []byte) []byte {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(s.Interface)), high...)
		if s.Comment != "" {
			b = option(b, optionComment, []byte(s.Comment))
		}
		b = option(b, optionEndTime, high)
		b = option(b, optionTaken, binary.LittleEndian.AppendUint64(nil, s.Taken))
		b = option(b, optionDropped, binary.LittleEndian.AppendUint64(nil, s.Dropped))
		return binary.LittleEndian.AppendUint32(b, optionEnd)
	})
}

func (w *Writer) block(kind uint32, body func([]byte) []byte) error {
	if _, err := w.out.Write(block(nil, kind, body)); err != nil {
		return fmt.Errorf("write a capture file: %w", err)
	}
	return nil
}

// describe writes the body of an interface description block.
func describe(b []byte, name, about string) []byte {
	b = binary.LittleEndian.AppendUint32(b, Ethernet)
	b = binary.LittleEndian.AppendUint32(b, MaxLength)
	if name != "" {
		b = option(b, optionName, []byte(name))
	}
	if about != "" {
		b = option(b, optionAbout, []byte(about))
	}
	b = option(b, optionResolution, []byte{9})
	return binary.LittleEndian.AppendUint32(b, optionEnd)
}

func option(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...), len(value))
}

// block appends a pcapng block.
func block(b []byte, kind uint32, body func([]byte) []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = body(b)
	n := uint32(len(b) - start + 4)
	binary.LittleEndian.PutUint32(b[start+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

// pad brings what has n bytes to a multiple of four.
func pad(b []byte, n int) []byte { return append(b, make([]byte, -n&3)...) }

// ErrTime says that a packet's time is none that the format has: pcap ends in 2106, pcapng with
// nanoseconds in 2554, and both begin in 1970.
var ErrTime = errors.New("the format has no such time")

// Write writes a packet. Its time is rounded down to what the format can say.
func (w *Writer) Write(p *Packet) error {
	most := int64(math.MaxUint32)
	if w.format.NG {
		most = math.MaxUint64/1_000_000_000 - 1
	}
	seconds := p.Time.Unix()
	if seconds < 0 || seconds > most {
		return fmt.Errorf("write a packet of %v: %w", p.Time, ErrTime)
	}
	var head [28]byte
	h, t := head[:0], w.options[:0]
	captured := uint32(len(p.Data))
	if w.format.NG {
		t = append(t, "\x00\x00\x00"[:-captured&3]...)
		t = p.appendOptions(t)
		length := 32 + captured + uint32(len(t))
		stamp := uint64(seconds)*1e9 + uint64(p.Time.Nanosecond())
		for _, v := range [...]uint32{blockEnhanced, length, uint32(p.Interface), uint32(stamp >> 32), uint32(stamp)} {
			h = binary.LittleEndian.AppendUint32(h, v)
		}
		t = binary.LittleEndian.AppendUint32(t, length)
		w.options = t
	} else {
		fraction := p.Time.Nanosecond()
		if !w.format.Nano {
			fraction /= 1000
		}
		h = binary.LittleEndian.AppendUint32(h, uint32(seconds))
		h = binary.LittleEndian.AppendUint32(h, uint32(fraction))
	}
	h = binary.LittleEndian.AppendUint32(h, captured)
	h = binary.LittleEndian.AppendUint32(h, uint32(p.Length))
	for _, part := range [...][]byte{h, p.Data, t} {
		if _, err := w.out.Write(part); err != nil {
			return fmt.Errorf("write a capture file: %w", err)
		}
	}
	return nil
}

// appendOptions appends what a pcapng file says of a packet besides.
func (p *Packet) appendOptions(b []byte) []byte {
	if p.Comment == "" && p.Direction == Unknown {
		return b
	}
	if p.Comment != "" {
		b = option(b, optionComment, []byte(p.Comment[:min(len(p.Comment), math.MaxUint16-3)]))
	}
	if p.Direction != Unknown {
		b = option(b, optionFlags, []byte{byte(p.Direction), 0, 0, 0})
	}
	return binary.LittleEndian.AppendUint32(b, optionEnd)
}

// Flush writes out what is not written yet.
func (w *Writer) Flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write a capture file: %w", err)
	}
	return nil
}
