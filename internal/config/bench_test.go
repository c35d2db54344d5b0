package config

import (
	"fmt"
	"strings"
	"testing"
)

// largeFile writes a file of services with so many backends each, a backend a
// line, as large sites generate them.
func largeFile(services, backends int) []byte {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range services {
		fmt.Fprintf(&b, `  - name: s%d
    address: 192.0.%d.%d
    port: 443
    algorithm: maglev
    health: {type: tcp, interval: 2s, timeout: 1s}
    backends:
`, i, i/200, i%200+1)
		for j := range backends {
			fmt.Fprintf(&b, "      - {name: b%d, address: 10.%d.%d.%d, port: 8080}\n", j, i/250, i%250, j+11)
		}
	}
	return []byte(b.String())
}

// BenchmarkParse is a reload's first step: a file of 1,000 services of 20
// backends each is read and validated.
func BenchmarkParse(b *testing.B) {
	data := largeFile(1000, 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("f", data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkValidate is the part of [BenchmarkParse] that is the balancer's.
func BenchmarkValidate(b *testing.B) {
	c, err := Parse("f", largeFile(1000, 20))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Spec.Validate()
	}
}
