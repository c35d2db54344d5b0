package config

import (
	"errors"
	"strings"
	"testing"
)

func TestSyntaxErrors(t *testing.T) {
	const colon = " (put quotes around an address that ends in a colon)"
	for _, test := range []struct{ data, want string }{
		{"services: [\n", "f:1: did not find expected node content"},
		{"services: [", "f:1: did not find expected node content"},
		{"services: [\n  {\n\n\n", "f:2: did not find expected node content"},
		{"services:\n- [a,\n\n  b\n\nc: 1\n", "f:6: did not find expected ',' or ']' (while parsing a flow sequence that begins in line 2)"},
		{"a: 'x\nb: 1\n", "f:2: found unexpected end of stream (while scanning a quoted scalar that begins in line 1)"},
		{"log:\n\tlevel: info\n", "f:2: found character that cannot start any token (indent with blanks, not with tabs)"},
		{"a: b: c\n", "f:1: mapping values are not allowed in this context"},
		{"a: \"\\q\"", "f:1: found unknown escape character"},
		{"a: 1\r\rb: c: d\r", "f:3: mapping values are not allowed in this context"},
		{"a: 1\nb: \x01\nc: 2\n", "f:2: control characters are not allowed (value: 1)"},
		{"%YAML 1.2\n---\na: 1\n", "f:1: found incompatible YAML document (leave the line out: none is needed)"},
		{"a: 1\nb: x\xff\nc: 2\n", "f:2: invalid leading UTF-8 octet (value: 255) (save the file as UTF-8)"},
		{"a:\u00a0x\nb: 1\n", "f:2: mapping values are not allowed in this context (there is a no-break space, which looks like a blank; write a blank)"},
		{"#\tx\n\t# x\na: b: c\n", "f:3: mapping values are not allowed in this context"},
		{"services: []\n---\n{\n", "f:3: did not find expected node content"},
		{"services:\n- address: 2001:db8::  # the VIP\n  port: 80\n", "f:2: mapping values are not allowed in this context" + colon},
		{"services:\n- address: 2001:db8::\n  port: 80\n", "f:2: mapping values are not allowed in this context" + colon},
		{"services:\n- {address: 2001:db8::, port: 80}\n", "f:2: did not find expected ',' or '}'" + colon},
		{"services:\n- {port: 80, address: 2001:db8::}\n", "f:2: did not find expected ',' or '}'" + colon},
	} {
		_, err := Parse("f", []byte(test.data))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a SyntaxError", test.data, err)
			continue
		}
		if err.Error() != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.data, err, test.want)
		}
	}
}

// TestDepthIsBounded: a file of brackets does not fill the stack.
func TestDepthIsBounded(t *testing.T) {
	for _, open := range []string{"[", "{a: ", "- "} {
		_, err := Parse("f", []byte(strings.Repeat(open, 1_000_000)))
		if err == nil || err.Error() != "f:1: exceeded max depth of 10000" {
			t.Errorf("a million of %q: %v", open, err)
		}
	}
}
