package inject

import (
	"bytes"
	"strings"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"
)

// source is the text of a document with its lines, and the changes to make.
type source struct {
	text    []byte
	lines   []int // offset of each line's first byte
	newline string
	changes []replacement
}

func newSource(text []byte) *source {
	s := &source{text: text, lines: []int{0}, newline: "\n"}
	for i, b := range text {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	if bytes.Contains(text, []byte("\r\n")) {
		s.newline = "\r\n"
	}
	return s
}

// replace queues a change; text is in lines of the user's kind.
func (s *source) replace(start, end int, text string) {
	if s.newline != "\n" {
		text = strings.ReplaceAll(text, "\n", s.newline)
	}
	s.changes = append(s.changes, replacement{start, end, text})
}

// insertLines puts whole lines before line number i, counted from 0.
func (s *source) insertLines(i int, lines string) {
	at := s.lineStart(i)
	if at > 0 && s.text[at-1] != '\n' { // the text does not end with a newline
		lines = "\n" + strings.TrimSuffix(lines, "\n")
	}
	s.replace(at, at, lines)
}

func (s *source) lineStart(i int) int {
	if i >= len(s.lines) {
		return len(s.text)
	}
	return s.lines[i]
}

// line is the text of line i without its end.
func (s *source) line(i int) string {
	return strings.TrimRight(string(s.text[s.lineStart(i):s.lineStart(i+1)]), "\r\n")
}

// offset is where a node begins: the parser counts characters, not bytes.
func (s *source) offset(n *yamlv3.Node) (int, bool) {
	if n.Line < 1 || n.Line > len(s.lines) || n.Column < 1 {
		return 0, false
	}
	at := s.lines[n.Line-1]
	for range n.Column - 1 {
		if at >= len(s.text) || s.text[at] == '\n' {
			return 0, false
		}
		_, size := utf8.DecodeRune(s.text[at:])
		at += size
	}
	return at, at < len(s.text)
}

// indent is the number of spaces that begin line i; blank is a line with
// nothing or a comment only.
func (s *source) indent(i int) (spaces int, blank bool) {
	line := s.line(i)
	rest := strings.TrimLeft(line, " ")
	return len(line) - len(rest), strings.TrimSpace(rest) == "" || rest[0] == '#'
}

// blockEnd is the number of the line after the last one of the block collection
// that begins on line first (from 0) at the given indentation. dashes says that
// it is a sequence, whose parent's next key may have the same indentation.
func (s *source) blockEnd(first, indentation int, dashes bool, literal bool) int {
	end := first + 1
	for i := first + 1; i < len(s.lines); i++ {
		spaces, blank := s.indent(i)
		if blank {
			if literal && spaces > indentation && strings.TrimSpace(s.line(i)) != "" {
				end = i + 1 // looks like a comment, is text
			}
			continue
		}
		if spaces < indentation {
			break
		}
		if rest := s.line(i)[spaces:]; dashes && spaces == indentation && rest != "-" && !strings.HasPrefix(rest, "- ") {
			break
		}
		end = i + 1
	}
	return end
}

// endsInLiteral says whether the last thing in n is a block scalar.
func endsInLiteral(n *yamlv3.Node) bool {
	for len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n.Style&(yamlv3.LiteralStyle|yamlv3.FoldedStyle) != 0
}

// span is the text of a flow collection or of a scalar on one line.
func (s *source) span(n *yamlv3.Node) (start, end int, ok bool) {
	start, ok = s.offset(n)
	if !ok || n.Anchor != "" {
		return 0, 0, false
	}
	switch n.Kind {
	case yamlv3.MappingNode, yamlv3.SequenceNode:
		end, ok = s.closing(start)
		return start, end, ok
	case yamlv3.ScalarNode:
		switch first := s.text[start]; {
		case first == '"' || first == '\'':
			end, ok = s.closingQuote(start)
			return start, end, ok
		case n.Value != "" && bytes.HasPrefix(s.text[start:], []byte(n.Value)):
			return start, start + len(n.Value), true
		}
	}
	return 0, 0, false
}

// closingQuote is the offset after the quoted scalar that begins at start.
func (s *source) closingQuote(start int) (int, bool) {
	quote := s.text[start]
	for i := start + 1; i < len(s.text); i++ {
		switch {
		case quote == '"' && s.text[i] == '\\':
			i++
		case quote == '\'' && s.text[i] == quote && i+1 < len(s.text) && s.text[i+1] == quote:
			i++
		case s.text[i] == quote:
			return i + 1, true
		}
	}
	return 0, false
}

// closing is the offset after the flow collection that begins at start. A quote
// opens a quoted scalar only where a value may begin.
func (s *source) closing(start int) (int, bool) {
	if s.text[start] != '{' && s.text[start] != '[' {
		return 0, false
	}
	depth, fresh := 0, true
	for i := start; i < len(s.text); i++ {
		switch b := s.text[i]; {
		case b == '{' || b == '[':
			depth++
			fresh = true
		case b == '}' || b == ']':
			depth--
			fresh = false
			if depth == 0 {
				return i + 1, true
			}
		case (b == '"' || b == '\'') && fresh:
			end, ok := s.closingQuote(i)
			if !ok {
				return 0, false
			}
			i, fresh = end-1, false
		case b == '#' && (s.text[i-1] == ' ' || s.text[i-1] == '\t' || s.text[i-1] == '\n'):
			next := bytes.IndexByte(s.text[i:], '\n')
			if next < 0 {
				return 0, false
			}
			i += next
		case b == ',' || b == ':':
			fresh = true
		case b != ' ' && b != '\t' && b != '\n' && b != '\r':
			fresh = false
		}
	}
	return 0, false
}
