package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/afxlb/afxlb/balancer"
)

// octets is the form of bytes, as text or by one of two prefixes. YAML's own \x80 is a
// character, and two bytes.
var octets = func() form[string] {
	f := single("text, or bytes as hex:00ff or base64:AP8=", `.`, parseOctets)
	f.schema.Types = text.schema.Types
	return f.shown(showOctets)
}()

func parseOctets(s string) (string, error) {
	var b []byte
	var err error
	if digits, ok := strings.CutPrefix(s, "hex:"); ok {
		b, err = hex.DecodeString(digits)
	} else if digits, ok := strings.CutPrefix(s, "base64:"); ok {
		b, err = base64.StdEncoding.DecodeString(digits)
	} else {
		b = []byte(s)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is none: %w; want text, or bytes as hex:00ff or base64:AP8=", s, err)
	case len(b) == 0:
		return "", fmt.Errorf("is empty; give it a value or leave the key out")
	}
	return string(b), nil
}

// expectation is the form of expect, which is of status codes or, of a check by UDP, of
// bytes. It is read after the type.
var expectation = func() form[balancer.HealthSpec] {
	codes := oneOr(statusRange)
	f := form[balancer.HealthSpec]{looks: codes.looks, diff: whole(showExpectation), read: func(v value, h *balancer.HealthSpec) {
		if h.Expect, h.Receive = nil, ""; h.Type == balancer.HealthUDP {
			octets.read(v, &h.Receive)
			return
		}
		codes.read(v, &h.Expect)
	}}
	f.words += "; of udp " + octets.words
	f.schema = &jsonschema.Schema{AnyOf: append(codes.schema.CloneSchemas().AnyOf, octets.schema.CloneSchemas())}
	return f
}()

// showExpectation returns what expect says.
func showExpectation(h balancer.HealthSpec) string {
	if h.Receive != "" {
		return showOctets(h.Receive)
	}
	return show(h.Expect)
}

// showOctets returns bytes as they are if that is a text, and reads as one, else as hex.
func showOctets(s string) string {
	if read, err := parseOctets(s); s != "" && (strconv.Quote(s) != `"`+s+`"` || err != nil || read != s) {
		return fmt.Sprintf("hex:%x", s)
	}
	return s
}

// queryType is the form of types of DNS records, in either case.
var queryType = choice(balancer.ParseQueryType, nil, []string{"a", "ns", "cname", "soa", "ptr", "mx", "txt", "aaaa", "srv"})

var rcodeList = oneOr(choice(balancer.ParseRcode, nil, nil))

// readRcodes reads a set of response codes.
func readRcodes(v value, h *balancer.HealthSpec) {
	var list []balancer.Rcodes
	rcodeList.read(v, &list)
	h.Rcodes = 0
	for _, r := range list {
		if r == 0 { // a name that is wrong should not cause a second problem
			h.Rcodes = 0
			return
		}
		h.Rcodes |= r
	}
}
