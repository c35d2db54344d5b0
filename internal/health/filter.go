package health

import "golang.org/x/sys/unix"

// snapLen is how much of a packet is wanted: all of it, which may be several that the kernel has
// merged.
const snapLen = 1 << 16

// The instructions of classic BPF that are needed here (Documentation/networking/filter.rst).
const (
	loadByte  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	loadWord  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	loadHalf  = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	loadByteX = unix.BPF_LD | unix.BPF_B | unix.BPF_IND // at X + k
	loadWordX = unix.BPF_LD | unix.BPF_W | unix.BPF_IND
	loadHalfX = unix.BPF_LD | unix.BPF_H | unix.BPF_IND
	headerLen = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH // X = 4 * (byte k & 15)
	setX      = unix.BPF_LDX | unix.BPF_IMM
	ifEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAnyBit  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	giveBack  = unix.BPF_RET | unix.BPF_K
)

// answers is the program that lets answers to probes through to a packet socket, and nearly
// nothing else: unfragmented TCP with ACK, whose acknowledgement number begins with the 16
// bits that our sequence numbers begin with.
// So nobody can crowd an answer out of the socket who has not seen a probe. Packets
// begin with the IP header (SOCK_DGRAM).
func answers(ipv4 bool, secret uint16) []unix.SockFilter {
	network := []unix.SockFilter{
		{Code: loadByte, K: 6}, // IPv6's next header
		{Code: ifEqual, K: protocolTCP, Jt: 1},
		{Code: giveBack, K: 0},
		{Code: setX, K: ipv6Len},
	}
	if ipv4 {
		network = []unix.SockFilter{
			{Code: loadByte, K: 9}, // the protocol
			{Code: ifEqual, K: protocolTCP, Jf: 2},
			{Code: loadHalf, K: 6},
			{Code: ifAnyBit, K: 0x1fff, Jf: 1}, // a fragment that is not the first
			{Code: giveBack, K: 0},
			{Code: headerLen, K: 0},
		}
	}
	return append(network, []unix.SockFilter{
		{Code: loadByteX, K: 13},
		{Code: ifAnyBit, K: flagACK, Jf: 3},
		{Code: loadHalfX, K: 8},
		{Code: ifEqual, K: uint32(secret), Jf: 1},
		{Code: giveBack, K: snapLen},
		{Code: giveBack, K: 0},
	}...)
}
