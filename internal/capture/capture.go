// Package capture reads and writes files of packets: pcap, with micro- or nanoseconds, and
// pcapng, gzipped or not. It takes any bytes for a file, and says where one is damaged.
//
// The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
package capture

import "time"

// Format is how a file is written.
type Format struct {
	NG   bool // pcapng, which has nanoseconds and interfaces
	Nano bool // pcap with nanoseconds
}

// Packet is one of a file.
type Packet struct {
	Time      time.Time // UTC; where the file does not say, that of the packet before
	Data      []byte
	Length    int // in bytes, on the wire: more than Data has if the capture cut it short
	Interface int // index into the file's interfaces
	// Only pcapng says these.

	Comment   string
	Direction Direction
}

// Direction says which way a packet went through its interface.
type Direction uint8

// The directions, as pcapng has them (epb_flags).
const (
	Unknown Direction = iota
	Inbound
	Outbound
)

// Interface is where packets were captured.
type Interface struct {
	Name     string // empty: the file does not say
	LinkType uint16

	units  uint64 // of a timestamp, per second
	offset int64  // of a timestamp, s
	length int    // most bytes of a packet; 0: no limit
}

// Ethernet is the link type of Ethernet frames (LINKTYPE_ETHERNET).
const Ethernet = 1

// MaxLength is the most bytes that a packet may have, as libpcap has it
// (MAXIMUM_SNAPLEN).
const MaxLength = 262144

// What files begin with; the byte order is the file's own.
const (
	magicMicro   = 0xa1b2c3d4
	magicNano    = 0xa1b23c4d
	magicSection = 0x0a0d0d0a // the same in both orders
	magicOrder   = 0x1a2b3c4d
	magicGzip    = 0x8b1f
)

// Types of pcapng blocks. All others are skipped.
const (
	blockInterface  = 1
	blockObsolete   = 2 // the packet block before the enhanced one
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
)

// Options of all pcapng blocks.
const (
	optionEnd     = 0
	optionComment = 1 // opt_comment
)

// Options of a packet, and of statistics.
const (
	optionFlags   = 2 // epb_flags
	optionEndTime = 3 // isb_endtime
	optionTaken   = 4 // isb_ifrecv
	optionDropped = 5 // isb_ifdrop
)

// Options of a pcapng interface.
const (
	optionName       = 2  // if_name
	optionAbout      = 3  // if_description
	optionResolution = 9  // if_tsresol
	optionOffset     = 14 // if_tsoffset
)
