package convert

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzz has a format's parser take anything: it ends, what it says has a place in the file,
// and what it writes passes check and tells all that it left out.
func fuzz(f *testing.F, from Format, files []string, more ...string) {
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, s := range more {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{
			From: from, Getenv: func(string) (string, bool) { return "10.0.0.1", true },
			Glob: func(string) ([]string, error) { return []string{"again"}, nil },
			Read: func(string) ([]byte, error) { return []byte(text), nil },
		}
		r, err := Convert("f", []byte(text), o)
		if err == nil {
			consistent(t, r)
			return
		}
		lines := 1 + strings.Count(newlines.Replace(text), "\n")
		var syntax SyntaxError
		var problems Problems
		switch {
		case errors.As(err, &syntax):
			problems = Problems{syntax.Problem}
		case !errors.As(err, &problems):
			t.Fatalf("an error without a place in the file: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Text == "" || p.File != "f" && p.File != "again" {
				t.Errorf("a problem without a place in the file: %v", p)
			}
		}
	})
}

func FuzzKeepalived(f *testing.F) {
	fuzz(f, Keepalived, []string{"keepalived.conf", "whole.conf"}, "$A=$A$A\n$A", "include x", "virtual_server 192.0.2.1-3 80 {", "@a\n~SEQ(1)\n", "virtual_server_group g {\n192.0.2.1-9 0\n}\nvirtual_server group g {\n}")
}

func FuzzHAProxy(f *testing.F) {
	fuzz(f, HAProxy, []string{"haproxy.cfg"}, ".if x\n.endif\n", "listen a\nbind 192.0.2.1:80-90,:70\nserver a 10.0.0.1", "global\nsetenv A \"${B-c}\\\"\"", "defaults a\nlisten b from a\nbind /x\n")
}

func FuzzIPVS(f *testing.F) {
	fuzz(f, IPVS, []string{"ipvsadm-save"}, "--set 1 2 3\n-A -t 192.0.2.1:http -p\n", "-a -t 192.0.2.1:80 -r 10.0.0.1 --tun-type=gue -i", "ipvsadm -A -u [2001:db8::1]:53 -s sh -b sh-port -M 48")
}
