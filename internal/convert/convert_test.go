package convert

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/config"
)

var update = flag.Bool("update", false, "write what the files of testdata convert to")

// world is what a test's conversions know of the machine.
func world() Options {
	env := map[string]string{"EXTRA": "192.0.2.11"}
	return Options{
		Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Read:   os.ReadFile, Glob: filepath.Glob,
	}
}

// to converts a text that is right.
func to(t *testing.T, text string, o Options) *Result {
	t.Helper()
	r, err := Convert("f", []byte(text), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	consistent(t, r)
	return r
}

// consistent holds a result against what is promised of all.
func consistent(t testing.TB, r *Result) *config.Config {
	t.Helper()
	c, err := config.Parse("converted", r.YAML)
	if err != nil {
		t.Fatalf("check refuses what was written: %v\n%s", err, r.YAML)
	}
	if n := bytes.Count(r.YAML, []byte("# LEFT OUT: ")); n != r.LeftOut {
		t.Fatalf("%d things are said to be left out, %d have a comment\n%s", r.LeftOut, n, r.YAML)
	}
	return c
}

// TestFiles holds what the files of testdata convert to against what people have looked at.
func TestFiles(t *testing.T) {
	with := world()
	with.Address, with.Source = netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("10.0.0.6")
	backup := world()
	backup.ConfigID = "backup"
	for golden, c := range map[string]struct {
		file string
		o    Options
		from Format
	}{
		"keepalived.yaml":        {"keepalived.conf", world(), Keepalived},
		"keepalived-backup.yaml": {"keepalived.conf", backup, Keepalived},
		"haproxy.yaml":           {"haproxy.cfg", world(), HAProxy},
		"haproxy-with.yaml":      {"haproxy.cfg", with, HAProxy},
		"ipvsadm.yaml":           {"ipvsadm-save", world(), IPVS},
		"whole.yaml":             {"whole.conf", world(), Keepalived},
	} {
		t.Run(golden, func(t *testing.T) {
			path := filepath.Join("testdata", c.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Convert(path, data, c.o)
			if err != nil {
				t.Fatal(err)
			}
			consistent(t, r)
			if r.From != c.from {
				t.Errorf("taken for %s", r.From)
			}
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", golden), r.YAML, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(filepath.Join("testdata", golden))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(r.YAML)); diff != "" {
				t.Errorf("-want +got (go test -update writes it anew):\n%s", diff)
			}
		})
	}
}

// TestNothingIsLostSilently puts a word that nobody knows behind each line of the files: it
// is told, or an error, or lies in what is left out as a whole.
func TestNothingIsLostSilently(t *testing.T) {
	for _, s := range samples(t) {
		for i := range s.lines {
			if s.loses(t, i, s.lines[i]+"frobnicate 17\n") {
				t.Errorf("%s:%d: a word that nobody knows is lost in silence", s.file, i+2)
			}
		}
	}
}

// TestNoWordIsLostSilently puts such a word at the end of each line.
func TestNoWordIsLostSilently(t *testing.T) {
	for _, s := range samples(t) {
		for i, line := range s.lines {
			line, _, _ = strings.Cut(line, "#")
			line, _, _ = strings.Cut(strings.TrimRight(line, " \t\n"), "!")
			if w := strings.Fields(line); len(w) == 0 || w[len(w)-1] == "{" || w[len(w)-1] == "}" || strings.HasSuffix(line, `\`) || unheard(w) {
				continue
			}
			if s.loses(t, i, strings.TrimRight(line, " ")+" frobnicate\n") {
				t.Errorf("%s:%d: a word is lost in silence: %s", s.file, i+1, line)
			}
		}
	}
}

// sample is a file of testdata, and what it converts to.
type sample struct {
	file    string
	lines   []string
	options Options
	whole   *Result
}

func samples(t *testing.T) (list []sample) {
	for _, file := range []string{"keepalived.conf", "haproxy.cfg", "ipvsadm-save", "whole.conf"} {
		path := filepath.Join("testdata", file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		o := world()
		o.From = Guess(data)
		whole, err := Convert(path, data, o)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sample{file, strings.SplitAfter(string(data), "\n"), o, whole})
	}
	return list
}

// loses reports whether the strange word of a text in place of line i is neither told nor an
// error, and not in a block that is left out as a whole.
func (s *sample) loses(t *testing.T, i int, text string) bool {
	t.Helper()
	changed := strings.Join(s.lines[:i], "") + text + strings.Join(s.lines[i+1:], "")
	r, err := Convert(filepath.Join("testdata", s.file), []byte(changed), s.options)
	var syntax SyntaxError
	var wrong Problems
	switch {
	case errors.As(err, &syntax), errors.As(err, &wrong):
		return false
	case err != nil:
		t.Errorf("%s: instead of line %d %q: %v", s.file, i+1, text, err)
		return false
	}
	return r.LeftOut <= s.whole.LeftOut && !bytes.Contains(r.YAML, []byte("frobnicate")) && !leftOutAround(string(s.whole.YAML), s.file, s.lines, i)
}

// unheard reports whether nothing of a line matters here, whatever stands there.
func unheard(line []string) bool {
	_, needs := needless[line[0]]
	return needs || ownProcess[line[0]] || strings.HasPrefix(line[0], "ssl-") || without[line[0]] || line[0] == "global" || line[0] == "defaults" || // which may have a name
		line[0] == "option" && options[line[1]]
}

// leftOutAround reports whether a line lies in a block that has a comment of its own.
func leftOutAround(yaml, file string, lines []string, i int) bool {
	for ; i >= 0; i-- {
		line := strings.TrimRight(lines[i], "\n")
		if line == "" || line[0] == ' ' || line[0] == '\t' || line[0] == '}' || line[0] == '{' {
			if strings.HasSuffix(line, "{") && strings.Contains(yaml, " "+file+":"+strconv.Itoa(i+1)+": ") {
				return true
			}
			continue
		}
		return strings.Contains(yaml, "LEFT OUT: "+file+":"+strconv.Itoa(i+1)+": ")
	}
	return false
}

func TestGuess(t *testing.T) {
	for text, want := range map[string]Format{
		"": "", "services: []\n": "", "hello": "",
		"! a comment\nvirtual_server 192.0.2.1 80 {\n}\n": Keepalived, "global_defs{\n}\n": Keepalived, "\ufeffvrrp_instance X {\n": Keepalived,
		"# x\nglobal\n  daemon\n": HAProxy, "listen a\n": HAProxy, "\tfrontend x\n": HAProxy,
		"-A -t 192.0.2.1:80 -s rr\n": IPVS, "ipvsadm -A -t 192.0.2.1:80\n": IPVS,
	} {
		if got := Guess([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, err := Convert("f", []byte("services: []\n"), world()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a file of none of the formats: %v", err)
	}
	for _, f := range []string{"keepalived", "haproxy", "ipvsadm"} {
		if got, err := ParseFormat(f); err != nil || string(got) != f {
			t.Errorf("ParseFormat(%q) = %q, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("nginx"); err == nil {
		t.Error("nginx is no format")
	}
}

// TestRefusedByCheck: what check does not take is a comment with the reason.
func TestRefusedByCheck(t *testing.T) {
	r := to(t, `-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m
-a -t 192.0.2.1:80 -r 192.0.2.1:80 -m
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m
-A -t 127.0.0.1:80 -s rr
-a -t 127.0.0.1:80 -r 10.0.0.2:80 -m
-A -t 192.0.2.1:0 -s rr
`, world())
	text := string(r.YAML)
	for _, want := range []string{
		"LEFT OUT: f:3: 192.0.2.1: check refuses it: ", "LEFT OUT: f:4: 10.0.0.1: check refuses it: ",
		"LEFT OUT: f:5: 127.0.0.1:80: check refuses it: address: 127.0.0.1 is a loopback address", `  # - name: "127.0.0.1:80"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestRefusedInPart: a service does not go for what is one backend's, or its check's alone.
func TestRefusedInPart(t *testing.T) {
	with := world()
	with.Source = netip.MustParseAddr("10.0.0.5")
	s, yaml := converted(t, "listen a\n bind 192.0.2.1:80-90\n server s 10.0.0.1 check\n server u [2001:db8::1]:80 check\n", with)
	if len(s) != 1 || len(s[0].Backends) != 1 || s[0].Health.Type != balancer.HealthNone {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{
		"LEFT OUT: f:2: health check: check refuses it: health.port: a service of several ports does not say which to probe",
		"LEFT OUT: f:4: 2001:db8::1: this machine speaks to the others from 10.0.0.5, of the other family",
	} {
		if !strings.Contains(yaml, want) {
			t.Errorf("no %q in\n%s", want, yaml)
		}
	}
}

// TestOutOfRange: what is put into our bounds is said, and so is what has no bound there.
func TestOutOfRange(t *testing.T) {
	for text, want := range map[string]string{
		"listen a\n bind 192.0.2.1:80\n timeout check 10s\n server s 10.0.0.1:80 check inter 1ms fall 2000\n":                      "f:4: health check: the interval of 1ms is written as 10ms; the timeout of 10s is written as 10ms; the fall of 2000 is written as 1000: ",
		"virtual_server 192.0.2.1 80 {\n delay_loop 6\n real_server 10.0.0.1 80 {\n TCP_CHECK {\n connect_timeout 10\n }\n }\n}\n": "health check: the timeout of 10s is written as 6s: ",
		"listen a\n bind 192.0.2.1:80\n timeout client 0\n timeout server 5s\n":                                                    "LEFT OUT: f:3: a timeout of 0: no connection may be idle for ever",
		"listen a\n bind 192.0.2.1:80\n timeout client 60d\n":                                                                      "f:3: tcp-established of 1440h: is out of range, and written as 720h",
		"listen a\n bind 192.0.2.1:80\n server s 10.0.0.1:80 slowstart 2d\n":                                                       "slowstart of 48h: is out of range, and written as 24h",
	} {
		if _, yaml := converted(t, text, world()); !strings.Contains(yaml, want) {
			t.Errorf("no %q in\n%s", want, yaml)
		}
	}
}

// TestHostileWords: nothing in a file gets out of its comment or its quotes.
func TestHostileWords(t *testing.T) {
	r := to(t, "listen \"a\\\"b: {#\"\n  bind 192.0.2.1:80\n  server \"x: [y]\" 10.0.0.1:80\n  frob \"\u2028services: []\"\n", world())
	c := consistent(t, r)
	if s := c.Spec.Services; len(s) != 1 || s[0].Name != `a"b:-{#` || s[0].Backends[0].Name != "x:-[y]" {
		t.Errorf("%+v\n%s", s, r.YAML)
	}
}
