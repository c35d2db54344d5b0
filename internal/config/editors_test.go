package config

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"
)

const plain = `interface: eth0
services:
  - name: web
    address: 192.0.2.10
    port: 80
    backends:
      - {address: 10.0.0.11}
`

// TestFilesAsEditorsLeaveThem: what does not change the meaning changes nothing.
func TestFilesAsEditorsLeaveThem(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"byte order mark":       func(s string) string { return "\ufeff" + s },
		"CRLF":                  func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"BOM and CRLF":          func(s string) string { return "\ufeff" + strings.ReplaceAll(s, "\n", "\r\n") },
		"CR":                    func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"blanks at ends":        func(s string) string { return strings.ReplaceAll(s, "\n", "   \n") },
		"tabs at ends":          func(s string) string { return strings.ReplaceAll(s, "\n", "\t\n") },
		"tabs after colons":     func(s string) string { return strings.ReplaceAll(s, ": ", ":\t") },
		"tabs before comments":  func(s string) string { return strings.ReplaceAll(s, "\n", "\t# here\n") },
		"no last newline":       func(s string) string { return strings.TrimSuffix(s, "\n") },
		"many last newlines":    func(s string) string { return s + "\n\n  \n" },
		"a document's marks":    func(s string) string { return "---\n" + s + "...\n" },
		"quoted keys":           func(s string) string { return strings.ReplaceAll(s, "name:", `"name":`) },
		"lists not indented":    func(s string) string { return strings.ReplaceAll(s, "\n  ", "\n") },
		"an editor's last line": func(s string) string { return s + "# vim: set ts=2 sw=2 et:\n" },
	} {
		c, err := Parse("f", []byte(edit(plain)))
		if err != nil || len(c.Interfaces) != 1 || len(c.Spec.Services) != 1 || len(c.Spec.Services[0].Backends) != 1 {
			t.Errorf("%s: %v\n%q", name, err, edit(plain))
		}
	}
}

// TestFilesThatCannotBeRead: each is told what to do, and at which line.
func TestFilesThatCannotBeRead(t *testing.T) {
	coded := func(order binary.AppendByteOrder, s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	const save = "f:1: the file is in UTF-16 (some editors call it Unicode); save it as UTF-8"
	const blanks = "(indent with blanks, not with tabs)"
	for _, test := range []struct{ name, data, want string }{
		{"UTF-16", coded(binary.LittleEndian, plain), save},
		{"UTF-16, big end first", coded(binary.BigEndian, plain), save},
		{"UTF-16 with its mark", coded(binary.LittleEndian, "\ufeff"+plain), save},
		{"UTF-16 with its mark, big end first", coded(binary.BigEndian, "\ufeff"+plain), save},
		{"tabs", strings.ReplaceAll(plain, "    ", "\t"), "f:4: "},
		{"tabs", strings.ReplaceAll(plain, "    ", "\t"), blanks},
		{"one tab", strings.Replace(plain, "    port", "\tport", 1), "f:5: "},
		{"one tab", strings.Replace(plain, "    port", "\tport", 1), blanks},
		{"a tab among blanks", strings.Replace(plain, "    port", "  \tport", 1), blanks},
		{"a tab before a dash", strings.Replace(plain, "  - name", "\t- name", 1), blanks},
		{"Latin-1", strings.Replace(plain, "web", "caf\xe9", 1), "f:3: "},
		{"a second document", plain + "---\n" + plain, "f:9: a second YAML document starts here; want one document"},
		{"a key twice", plain + "interface: eth1\n", "f:8: interface: is given a second time (first in line 1); keep one"},
		{"a merge key", strings.Replace(plain, "name: web", "<<: *base", 1), "f:3: services[0].<<: merge keys are not supported; write under defaults what services share, or use an alias for a whole block"},
	} {
		_, err := Parse("f", []byte(test.data))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}
