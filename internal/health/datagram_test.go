package health

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/afxlb/afxlb/balancer"
)

// answering returns a server on loopback that answers each datagram as it is told; nil: not.
func answering(t *testing.T, answer func(n int, asked []byte) [][]byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for i := 0; ; i++ {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			for _, one := range answer(i, b[:n]) {
				_, _ = c.WriteTo(one, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().String()
}

func TestUDP(t *testing.T) {
	echo := answering(t, func(_ int, asked []byte) [][]byte { return [][]byte{append([]byte("you said "), asked...)} })
	silent := answering(t, func(int, []byte) [][]byte { return nil })
	huge := answering(t, func(int, []byte) [][]byte { return [][]byte{[]byte(strings.Repeat("x", 60000) + "end")} })
	closed := func() string {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		defer c.Close()
		return c.LocalAddr().String()
	}()
	for _, test := range []struct {
		name, address, send, expect, want string
	}{
		{"answered", echo, "\x00\xffping", "said \x00\xffp", ""},
		{"any answer", echo, "", "", ""},
		{"another answer", echo, "ping", "pong", `answer without "pong"`},
		{"too far back", huge, "", "end", `answer without "end"`},
		{"silence is wanted", silent, "x", "", ""},
		{"silence is not", silent, "x", "y", "no answer within 50ms"},
		{"nobody there", closed, "x", "", "connection refused"},
	} {
		timeout := patient
		if test.address == silent {
			timeout = hasty
		}
		r := probeOnce(t, test.address, balancer.HealthSpec{Type: balancer.HealthUDP, Timeout: timeout, Send: test.send, Receive: test.expect})
		if check(t, r, test.want); r.Local || test.address == closed && !errors.Is(r.Err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

// respond makes an answer to a question.
func respond(t *testing.T, asked []byte, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	var m dnsmessage.Message
	must(t, m.Unpack(asked))
	m.Response = true
	change(&m)
	b, err := m.Pack()
	must(t, err)
	return b
}

func record(m *dnsmessage.Message, body dnsmessage.ResourceBody) {
	m.Answers = append(m.Answers, dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1}, Body: body,
	})
}

func TestDNS(t *testing.T) {
	name := dnsmessage.MustNewName("Target.example.")
	for _, test := range []struct {
		name   string
		spec   balancer.HealthSpec
		answer func(*dnsmessage.Message)
		want   string
	}{
		{"empty", balancer.HealthSpec{}, func(*dnsmessage.Message) {}, ""},
		{"refused", balancer.HealthSpec{}, func(m *dnsmessage.Message) { m.RCode = 5 }, "rcode refused, want noerror"},
		{"unknown", balancer.HealthSpec{}, func(m *dnsmessage.Message) { m.RCode = 12 }, "rcode unknown(12), want noerror"},
		{"as it should not", balancer.HealthSpec{Rcodes: 1<<3 | 1<<5}, func(m *dnsmessage.Message) { m.RCode = 3 }, ""},
		{"good is not enough", balancer.HealthSpec{Rcodes: 1 << 3}, func(*dnsmessage.Message) {}, "rcode noerror, want nxdomain"},
		{"address", balancer.HealthSpec{Answer: "192.0.2.1"}, func(m *dnsmessage.Message) {
			record(m, &dnsmessage.CNAMEResource{CNAME: name})
			record(m, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
		}, ""},
		{"another address", balancer.HealthSpec{Answer: "192.0.2.1"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}}) }, `no record with "192.0.2.1"`},
		{"cut short", balancer.HealthSpec{Answer: "192.0.2.1"}, func(m *dnsmessage.Message) { m.Truncated = true }, `no record with "192.0.2.1", and the answer is cut short`},
		{"IPv6", balancer.HealthSpec{Query: 28, Answer: "2001:DB8::1"}, func(m *dnsmessage.Message) {
			record(m, &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}})
		}, ""},
		{"of another type", balancer.HealthSpec{Query: 16, Answer: "target.example"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.CNAMEResource{CNAME: name}) }, "no record"},
		{"alias", balancer.HealthSpec{Query: 5, Answer: "target.example"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.CNAMEResource{CNAME: name}) }, ""},
		{"server", balancer.HealthSpec{Query: 2, Answer: "target.example."}, func(m *dnsmessage.Message) { record(m, &dnsmessage.NSResource{NS: name}) }, ""},
		{"mail", balancer.HealthSpec{Query: 15, Answer: "target.example"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.MXResource{MX: name}) }, ""},
		{"service", balancer.HealthSpec{Query: 33, Answer: "target.example"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.SRVResource{Target: name}) }, ""},
		{"pointer", balancer.HealthSpec{Query: 12, Answer: "target.example"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.PTRResource{PTR: name}) }, ""},
		{"text", balancer.HealthSpec{Query: 16, Answer: "all is well"}, func(m *dnsmessage.Message) { record(m, &dnsmessage.TXTResource{TXT: []string{"all is", " well"}}) }, ""},
	} {
		address := answering(t, func(n int, asked []byte) [][]byte { // strays first: none of them is believed
			other := respond(t, asked, func(m *dnsmessage.Message) { m.ID++; m.RCode = 2 })
			elsewhere := respond(t, asked, func(m *dnsmessage.Message) { m.Questions[0].Name = name; m.RCode = 2 })
			return [][]byte{nil, other, asked, elsewhere, respond(t, asked, test.answer)}
		})
		spec := test.spec
		spec.Type, spec.Name, spec.Timeout = balancer.HealthDNS, "www.example.com", patient
		r := probeOnce(t, address, spec)
		if check(t, r, test.want); test.want != "" && r.Err != nil && r.Err.Error() != test.want && test.name != "of another type" {
			t.Errorf("%s: %v", test.name, r.Err)
		}
	}
}

// A question that is lost is asked again; rubbish without end is not waited out.
func TestDNSAnswersThatAreNone(t *testing.T) {
	var asked atomic.Int32
	late := answering(t, func(n int, b []byte) [][]byte {
		if asked.Add(1); n == 0 {
			return nil
		}
		return [][]byte{respond(t, b, func(*dnsmessage.Message) {})}
	})
	spec := balancer.HealthSpec{Type: balancer.HealthDNS, Name: ".", Timeout: 20 * hasty}
	check(t, probeOnce(t, late, spec), "")
	if asked.Load() < 2 {
		t.Error("it was not asked again")
	}
	spec.Timeout = patient
	rubbish := answering(t, func(int, []byte) (list [][]byte) {
		for i := range 2 * maxStray {
			list = append(list, []byte{byte(i), 1, 2, 3})
		}
		return list
	})
	check(t, probeOnce(t, rubbish, spec), "what comes is no answer to what was asked")
	garbled := answering(t, func(_ int, asked []byte) [][]byte {
		b := respond(t, asked, func(m *dnsmessage.Message) { record(m, &dnsmessage.AResource{}) })
		return [][]byte{b[:len(b)-2]}
	})
	spec.Answer = "192.0.2.1"
	check(t, probeOnce(t, garbled, spec), "malformed DNS answer")
	headless := answering(t, func(_ int, asked []byte) [][]byte {
		return [][]byte{append(asked[:2:2], 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0)}
	})
	check(t, probeOnce(t, headless, spec), "malformed DNS answer")
}

// FuzzDNS: whatever comes, it is stray, bad or good, and nothing breaks.
func FuzzDNS(f *testing.F) {
	target := Target{Type: balancer.HealthDNS, Name: "www.example.com.", Query: 1, Rcodes: 1, Answer: "192.0.2.1"}
	d, err := newQuestion(&target)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.request)
	f.Add([]byte{0, 0, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > 1 {
			copy(answer, d.request[:2]) // or it is stray in any case
		}
		if stray, err := d.judge(answer); !stray && err == nil && len(answer) < 12+17+4+4+4 {
			t.Errorf("%x is a good answer", answer)
		}
	})
}
