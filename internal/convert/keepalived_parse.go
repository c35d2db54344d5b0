package convert

import (
	"path/filepath"
	"regexp"
	"strings"
)

// statement is a line of keepalived's configuration, with the block that follows it. It
// notes what of it is read: what nobody asks for is lost, and [keepalivedReader.unread] says so.
type statement struct {
	at
	words []string
	block []*statement // nil: none

	read    int  // words
	entered bool // the block
	told    bool // something is said of all of it, or nothing is to be said
}

// arg returns the i-th word, "" if there is none. The 0th is the keyword.
func (s *statement) arg(i int) string {
	s.read = max(s.read, i+1)
	if i < len(s.words) {
		return s.words[i]
	}
	return ""
}

// inside returns what is in the block.
func (s *statement) inside() []*statement {
	s.entered = true
	return s.block
}

// whole notes that something is said of the whole statement, which it returns.
func (s *statement) whole() *statement {
	s.told = true
	return s
}

func (s *statement) text() string { return strings.Join(s.whole().words, " ") }

const (
	maxIncludes = 16    // as deep as files include each other
	maxLines    = 1e5   // over all files
	maxExpanded = 65536 // bytes of a line with its definitions
)

// keepalivedParser finds the statements of a file and of those that it includes. The
// grammar is in keepalived's lib/parser.c; a { may stand on the next line, and a } at the
// end of one, as people write them.
type keepalivedParser struct {
	*reader
	definitions map[string]string
	lines       int
	open        []*statement // the blocks that the current line is in
	last        *statement   // what a { would belong to
}

func (r *reader) parseKeepalived(data []byte) []*statement {
	root := &statement{block: []*statement{}}
	p := &keepalivedParser{reader: r, definitions: map[string]string{}, open: []*statement{root}}
	p.parse(r.file, data, 0)
	if len(p.open) > 1 {
		b := p.open[len(p.open)-1]
		unreadable(b.at, "the block of %s is not closed; want a } ", b.arg(0))
	}
	return root.block
}

// definition is a line that gives a word a meaning.
var definition = regexp.MustCompile(`^\$([A-Za-z0-9_]+)\s*=\s*(.*)$`)

func (p *keepalivedParser) parse(file string, data []byte, depth int) {
	lines := strings.Split(strings.TrimPrefix(newlines.Replace(string(data)), "\ufeff"), "\n")
	for i := 0; i < len(lines); i++ {
		here := at{file, i + 1}
		if p.lines++; p.lines > maxLines {
			unreadable(here, "the configuration has more than %d lines", int(maxLines))
		}
		line := lines[i]
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "@") {
			if line = p.condition(here, line); line == "" {
				continue
			}
		}
		if m := definition.FindStringSubmatch(line); m != nil {
			value, _, _ := strings.Cut(m[2], "#")
			p.definitions[m[1]] = p.expand(here, strings.TrimSpace(value))
			continue
		}
		if strings.HasPrefix(line, "~") || strings.HasPrefix(line, "$") && strings.Contains(line, ")=") {
			p.out.lose(here, line, "generated blocks and definitions with parameters are not followed; write out what they stand for")
			continue
		}
		words := p.words(here, p.expand(here, line))
		if len(words) > 1 && strings.HasPrefix(words[0], "include") {
			p.include(here, words[1], depth)
			if len(words) > 2 {
				p.out.lose(here, strings.Join(words, " "), "one file or pattern is included by a line")
			}
			continue
		}
		p.statements(here, words)
	}
}

// newlines makes all ends of lines the same.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// condition returns what a line says that begins with @, which is for one of several
// machines, or nothing.
func (p *keepalivedParser) condition(here at, line string) string {
	id, rest, _ := strings.Cut(line[1:], " ")
	name, not := strings.CutPrefix(id, "^")
	if p.ConfigID == "" {
		p.out.lose(here, "@"+id, "is for the machine with that config id alone; say with --config-id which this is: "+strings.TrimSpace(rest))
		return ""
	}
	if (name == p.ConfigID) == not {
		return ""
	}
	return strings.TrimSpace(rest)
}

// use is where a definition is used.
var use = regexp.MustCompile(`\$\{[A-Za-z0-9_]+\}|\$[A-Za-z0-9_]+`)

func (p *keepalivedParser) expand(here at, line string) string {
	if line == "" || line[0] == '!' || line[0] == '#' {
		return ""
	}
	for range maxIncludes { // definitions may use others
		changed := false
		grown := len(line)
		line = use.ReplaceAllStringFunc(line, func(s string) string {
			if value, ok := p.definitions[strings.Trim(s, "${}")]; ok {
				changed = true
				if grown += len(value) - len(s); grown > maxExpanded {
					unreadable(here, "the line is longer than %d bytes with its definitions", maxExpanded)
				}
				return value
			}
			return s
		})
		if !changed {
			break
		}
	}
	return line
}

// words parts a line into words, of which { and } are two. Quotes hold blanks; # and !
// begin a comment.
func (p *keepalivedParser) words(here at, line string) (words []string) {
	var word strings.Builder
	in := false
	end := func() {
		if in {
			words = append(words, word.String())
		}
		word.Reset()
		in = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"' || c == '\'':
			length := strings.IndexByte(line[i+1:], c)
			if length < 0 {
				unreadable(here, "a quotation is not closed")
			}
			word.WriteString(line[i+1 : i+1+length])
			in = true
			i += length + 1
		case c == ' ' || c == '\t' || c == '\f' || c == '\v':
			end()
		case c == '\\' && i+1 < len(line) && (line[i+1] == '#' || line[i+1] == '!'):
			word.WriteByte(line[i+1])
			in = true
			i++
		case c == '#' || c == '!': // in the middle of a word, too (decomment in lib/parser.c)
			end()
			return words
		case c == '{' || c == '}':
			end()
			words = append(words, string(c))
		default:
			word.WriteByte(c)
			in = true
		}
	}
	end()
	return words
}

// statements takes the words of a line.
func (p *keepalivedParser) statements(here at, words []string) {
	var current *statement
	for _, w := range words {
		top := p.open[len(p.open)-1]
		switch w {
		case "{":
			if current = nil; p.last == nil {
				unreadable(here, "a { has nothing in front of it")
			}
			if len(p.open) > maxIncludes {
				unreadable(here, "blocks lie in each other deeper than %d", maxIncludes)
			}
			if p.last.block == nil {
				p.last.block = []*statement{}
			}
			p.open = append(p.open, p.last)
			p.last = nil
		case "}":
			current, p.last = nil, nil
			if len(p.open) == 1 {
				unreadable(here, "a } closes nothing")
			}
			p.open = p.open[:len(p.open)-1]
		default:
			if current == nil {
				current = &statement{at: here}
				top.block = append(top.block, current)
				p.last = current
			}
			current.words = append(current.words, w)
		}
	}
}

// include parses the files that a pattern names, as of the folder of the file it stands in.
func (p *keepalivedParser) include(here at, pattern string, depth int) {
	if depth == maxIncludes {
		unreadable(here, "files include each other deeper than %d", maxIncludes)
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(here.file), pattern)
	}
	files, err := p.Glob(pattern)
	if err != nil {
		p.wrong(here, "include %s: %v", pattern, err)
		return
	}
	if len(files) == 0 {
		p.out.lose(here, "include "+pattern, "there is no such file")
	}
	for _, file := range files {
		data, err := p.Read(file)
		if err != nil {
			p.wrong(here, "include: %v", err)
			continue
		}
		p.last = nil
		p.parse(file, data, depth+1)
	}
}
