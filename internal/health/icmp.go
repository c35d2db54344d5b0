package health

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// An echo is asked for by a raw socket, for which the balancer has CAP_NET_RAW anyway: a
// socket of ping's own kind (SOCK_DGRAM) is for the groups of net.ipv4.ping_group_range alone,
// which are none by default (ping_init_sock in net/ipv4/ping.c). As it is connected and filters, it
// gets no echo but those of its own backend, and the kernel makes checksums of ICMPv6.

const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoLen                  = 8 + 16 // header, and what is to come back
)

// newEcho returns the dialogue of a check by ICMP. What is to come back can't be guessed.
func newEcho(t *Target) *dialogue {
	b := make([]byte, echoLen)
	_, _ = rand.Read(b[4:]) // never fails
	ipv4 := t.Address.Addr().Is4()
	reply := byte(echoReply6)
	if b[0] = echoRequest6; ipv4 {
		b[0], reply = echoRequest4, echoReply4
		c := ^sum(0, b)
		b[2], b[3] = byte(c>>8), byte(c)
	}
	return &dialogue{request: b, again: t.Timeout / rounds, filter: echoes(ipv4, b), judge: func(answer []byte) (stray bool, err error) {
		if ipv4 { // has its header before it (raw(7))
			if len(answer) < ipv4Len || len(answer) < int(answer[0]&15)*4 {
				return true, nil
			}
			answer = answer[int(answer[0]&15)*4:]
		}
		return len(answer) < echoLen || answer[0] != reply || !bytes.Equal(answer[4:echoLen], b[4:]), nil
	}}
}

// echoes is the program that lets through what has identifier and sequence number of a request.
// Packets of IPv4 begin with their header, those of IPv6 behind it (raw_rcv in net/ipv4/raw.c,
// rawv6_rcv in net/ipv6/raw.c).
func echoes(ipv4 bool, request []byte) []unix.SockFilter {
	load := []unix.SockFilter{{Code: loadWord, K: 4}}
	if ipv4 {
		load = []unix.SockFilter{{Code: headerLen, K: 0}, {Code: loadWordX, K: 4}}
	}
	return append(load, []unix.SockFilter{
		{Code: ifEqual, K: binary.BigEndian.Uint32(request[4:]), Jf: 1},
		{Code: giveBack, K: snapLen},
		{Code: giveBack, K: 0},
	}...)
}

// onlyEchoReplies keeps all else out of a raw socket (raw(7), RFC 3542, 3.2).
func onlyEchoReplies(fd int, ipv4 bool) error {
	if ipv4 {
		const icmpFilter = 1 // linux/icmp.h
		blocked := ^uint32(1 << echoReply4)
		return unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, int(int32(blocked)))
	}
	var f unix.ICMPv6Filter // a bit that is set blocks
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[echoReply6>>5] &^= 1 << (echoReply6 & 31)
	return unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &f)
}
