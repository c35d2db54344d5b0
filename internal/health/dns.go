package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/afxlb/afxlb/balancer"
)

// newQuestion returns the dialogue of a check by DNS. Its number can't be guessed, nor can the
// port that it comes from.
func newQuestion(t *Target) (*dialogue, error) {
	name, err := dnsmessage.NewName(t.Name)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", t.Name, err)
	}
	q := dnsmessage.Question{Name: name, Type: dnsmessage.Type(t.Query), Class: dnsmessage.ClassINET}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}
	request, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", t.Name, err)
	}
	judge := func(answer []byte) (bool, error) { return t.judgeDNS(answer, m.ID, &q) }
	return &dialogue{request: request, again: t.Timeout / rounds, judge: judge}, nil
}

var errGarbled = errors.New("malformed DNS answer")

// judgeDNS holds an answer against what is expected. What is not to this question is stray.
func (t *Target) judgeDNS(answer []byte, id uint16, asked *dnsmessage.Question) (stray bool, err error) {
	if len(answer) < 12 || binary.BigEndian.Uint16(answer) != id {
		return true, nil
	}
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	if err != nil || !h.Response {
		return true, nil
	}
	q, err := p.Question()
	switch {
	case err != nil && h.RCode == dnsmessage.RCodeSuccess: // those who don't understand it may not repeat it
		return false, errGarbled
	case err == nil && (q.Type != asked.Type || q.Class != asked.Class || !strings.EqualFold(q.Name.String(), asked.Name.String())):
		return true, nil
	case !t.Rcodes.Has(uint8(h.RCode)):
		return false, fmt.Errorf("rcode %s, want %v", balancer.RcodeName(uint8(h.RCode)), t.Rcodes)
	case t.Answer == "":
		return false, nil
	case p.SkipAllQuestions() != nil:
		return false, errGarbled
	}
	for {
		r, err := p.Answer()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone) && h.Truncated:
			return false, fmt.Errorf("no record with %q, and the answer is cut short", t.Answer)
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return false, fmt.Errorf("no record with %q", t.Answer)
		case err != nil:
			return false, errGarbled
		case r.Header.Type == asked.Type && says(r.Body, t.Answer):
			return false, nil
		}
	}
}

// says reports whether a record has the address, the name or the text.
func says(body dnsmessage.ResourceBody, want string) bool {
	same := func(n dnsmessage.Name) bool {
		return strings.EqualFold(strings.TrimSuffix(n.String(), "."), strings.TrimSuffix(want, "."))
	}
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String() == want
	case *dnsmessage.AAAAResource:
		a, err := netip.ParseAddr(want)
		return err == nil && netip.AddrFrom16(r.AAAA) == a
	case *dnsmessage.CNAMEResource:
		return same(r.CNAME)
	case *dnsmessage.NSResource:
		return same(r.NS)
	case *dnsmessage.PTRResource:
		return same(r.PTR)
	case *dnsmessage.MXResource:
		return same(r.MX)
	case *dnsmessage.SRVResource:
		return same(r.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "") == want
	}
	return false
}
