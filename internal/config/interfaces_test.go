package config

import (
	"slices"
	"strings"
	"testing"
)

func TestParseInterfaces(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		says string
	}{
		{"eth0", []string{"eth0"}, ""},
		{"eth0, eth1", []string{"eth0", "eth1"}, ""},
		{"a,b,c,d,e,f,g,h", []string{"a", "b", "c", "d", "e", "f", "g", "h"}, ""},
		{"a,b,c,d,e,f,g,h,i", nil, "more than 8 interfaces"},
		{"eth0,eth1,eth0", nil, "eth0 is named twice"},
		{"", nil, `"" is no interface name`},
		{"eth0,", nil, `"" is no interface name`},
		{"eth0,a-name-of-sixteen", nil, "is no interface name"},
		{"..", nil, "is no interface name"},
	} {
		got, err := ParseInterfaces(c.in)
		if !slices.Equal(got, c.want) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %q, %v; want %q, %q", c.in, got, err, c.want, c.says)
		}
	}
}
