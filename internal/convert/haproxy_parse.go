package convert

import (
	"encoding/hex"
	"strings"
)

// hapSection is a section of HAProxy's configuration, as a frontend.
type hapSection struct {
	at
	kind, name string
	from       string // the defaults that it is told to take
	lines      []hapLine
}

// hapLine is a line of a section.
type hapLine struct {
	at
	words []string
}

func (l hapLine) arg(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

func (l hapLine) text() string { return strings.Join(l.words, " ") }

// sections are the words that begin one.
var sections = map[string]bool{
	"global": true, "defaults": true, "frontend": true, "backend": true, "listen": true, "peers": true, "resolvers": true, "userlist": true, "mailers": true,
	"program": true, "cache": true, "http-errors": true, "ring": true, "log-forward": true, "fcgi-app": true, "crt-store": true, "crt-list": true, "traces": true, "log-profile": true, "acme": true,
}

// parseHAProxy finds the sections of a file (HAProxy's configuration manual, chapter 2).
func (r *reader) parseHAProxy(data []byte) []*hapSection {
	var list []*hapSection
	set := map[string]string{} // by setenv
	n, left := 0, 0            // left: blocks of .if that the line is in
	for line := range strings.SplitSeq(strings.TrimPrefix(newlines.Replace(string(data)), "\ufeff"), "\n") {
		n++
		here := at{r.file, n}
		words := r.hapWords(here, line, set)
		if len(words) == 0 {
			continue
		}
		if strings.HasPrefix(words[0], ".") {
			left += r.hapCondition(here, words, left)
			continue
		}
		switch {
		case left > 0:
			r.out.lose(here, strings.Join(words, " "), "stands under a condition; convert does not decide these")
		case sections[words[0]]:
			list = append(list, r.hapHead(here, words))
		case len(list) == 0:
			unreadable(here, "%q stands in no section; want one as in frontend NAME in front of it", words[0])
		default:
			s := list[len(list)-1]
			if s.kind == "global" && len(words) > 2 {
				if _, known := set[words[1]]; words[0] == "setenv" || words[0] == "presetenv" && !known {
					set[words[1]] = words[2]
				}
			}
			s.lines = append(s.lines, hapLine{here, words})
		}
	}
	if left > 0 {
		unreadable(at{r.file, n}, "an .if is not closed; want .endif")
	}
	return list
}

// hapHead reads the line that begins a section. Before there was bind, the address stood there.
func (r *reader) hapHead(here at, words []string) *hapSection {
	s := &hapSection{at: here, kind: words[0]}
	if len(words) > 1 {
		s.name = words[1]
	}
	for i := 2; i < len(words); i++ {
		switch {
		case words[i] == "from" && i+1 < len(words):
			i++
			s.from = words[i]
		case i == 2 && (s.kind == "listen" || s.kind == "frontend"):
			s.lines = append(s.lines, hapLine{here, []string{"bind", words[i]}})
		default:
			r.out.lose(here, strings.Join(words[i:], " "), "is no part of the line that begins a section")
			return s
		}
	}
	return s
}

// hapCondition reads a line that begins with a dot, and returns by how many blocks of .if
// one is deeper after it.
func (r *reader) hapCondition(here at, words []string, left int) int {
	switch words[0] {
	case ".if":
		return 1
	case ".endif":
		if left == 0 {
			unreadable(here, ".endif closes nothing")
		}
		return -1
	case ".elif", ".else", ".notice", ".warning", ".alert", ".diag":
	default:
		r.wrong(here, "%q is unknown", words[0])
	}
	return 0
}

// hapWords parts a line into words: quotes and backslashes hold blanks, # begins a comment,
// and variables count but in single quotes. HAProxy has them in double quotes alone; where
// people forget these they mean the same.
func (r *reader) hapWords(here at, line string, set map[string]string) (words []string) {
	var word strings.Builder
	in := false
	end := func() {
		if in {
			words = append(words, word.String())
		}
		word.Reset()
		in = false
	}
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			c, length := escaped(line[i+1:])
			word.WriteByte(c)
			in = true
			i += length
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, in = c, true
		case c == '$' && quote != '\'':
			value, length := r.variable(here, line[i+1:], set)
			if length == 0 {
				word.WriteByte(c)
			}
			word.WriteString(value)
			in = true
			i += length
		case quote == 0 && (c == ' ' || c == '\t'):
			end()
		case quote == 0 && c == '#':
			end()
			return words
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		unreadable(here, "a quotation is not closed")
	}
	end()
	return words
}

// escaped returns what stands behind a backslash, and its length: a letter for a control
// character, a byte in hexadecimal digits, or what is to be taken as it is.
func escaped(s string) (c byte, length int) {
	switch s[0] {
	case 'r':
		return '\r', 1
	case 'n':
		return '\n', 1
	case 't':
		return '\t', 1
	case 'x':
		if len(s) >= 3 {
			if b, err := hex.DecodeString(s[1:3]); err == nil {
				return b[0], 3
			}
		}
	}
	return s[0], 1
}

// variable returns the value of the one that s begins with, NAME or {NAME} or
// {NAME-default}, and the length of that.
func (r *reader) variable(here at, s string, set map[string]string) (value string, length int) {
	var name string
	if strings.HasPrefix(s, "{") {
		i := strings.IndexByte(s, '}')
		if i < 0 {
			unreadable(here, "${ is not closed")
		}
		name, length = s[1:i], i+1
	} else {
		i := 0
		for i < len(s) && (s[i] == '_' || 'a' <= s[i]|32 && s[i]|32 <= 'z' || '0' <= s[i] && s[i] <= '9') {
			i++
		}
		if i == 0 {
			return "", 0
		}
		name, length = s[:i], i
	}
	name, fallback, has := strings.Cut(strings.TrimSuffix(name, "[*]"), "-")
	if v, ok := set[name]; ok {
		return v, length
	}
	if v, ok := r.Getenv(name); ok {
		return v, length
	}
	if !has {
		r.wrong(here, "the variable %s is not set; set it for convert as it is for HAProxy", name)
	}
	return fallback, length
}
