package health

import (
	"net/netip"
	"testing"
)

// TestForgedAnswer gives a wire what is like the answer that a probe waits for, but for
// one thing.
func TestForgedAnswer(t *testing.T) {
	w := &wire{secret: 0xffff, waiting: map[netip.AddrPort]*opening{}}
	own, service := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("192.0.2.10:80")
	o := w.open(own, service, nil)
	if o.seq>>16 != 0xffff || (o.seq+1)>>16 != 0xffff {
		t.Errorf("sequence number %x and the next do not begin with the secret", o.seq)
	}
	good := segment{from: service, to: own, seq: 1, ack: o.seq + 1, flags: flagSYN | flagACK}
	for name, change := range map[string]func(s *segment){
		"address":         func(s *segment) { s.from = netip.AddrPortFrom(s.to.Addr(), s.from.Port()) },
		"port":            func(s *segment) { s.from = netip.AddrPortFrom(s.from.Addr(), 81) },
		"own port":        func(s *segment) { s.to = netip.AddrPortFrom(s.to.Addr(), 40001) },
		"acknowledgement": func(s *segment) { s.ack++ },
		"no ACK":          func(s *segment) { s.flags = flagRST },
		"neither":         func(s *segment) { s.flags = flagACK },
	} {
		s := good
		change(&s)
		w.take(&s, nil)
		if len(o.answer) != 0 {
			t.Errorf("taken for an answer, with another %s", name)
		}
	}
	w.take(&good, nil)
	w.take(&good, nil) // and again, which waits for nobody
	if len(o.answer) != 1 {
		t.Error("the answer was not taken")
	}
	w.forget(o)
	w.take(&good, nil)
}

func TestSequenceNumbersKeepTheSecret(t *testing.T) {
	w := &wire{secret: 0x1234, waiting: map[netip.AddrPort]*opening{}}
	for range 1 << 18 { // the one that would not is met a few times
		if o := w.open(netip.AddrPort{}, netip.AddrPort{}, nil); o.seq>>16 != 0x1234 || (o.seq+maxSent)>>16 != 0x1234 {
			t.Fatalf("%x", o.seq)
		}
	}
}
