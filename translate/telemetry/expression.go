package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds on expressions: Envoy's parser has them too.
const (
	maxExpression = 4096 // bytes
	maxNesting    = 50
)

// methods and functions are what expressions may call in stock Envoy, with the
// number of arguments. Conversions to text, comprehensions (exists, all, map,
// filter) and joining of texts are switched off there.
var (
	methods   = map[string]int{"startsWith": 1, "endsWith": 1, "contains": 1, "matches": 1, "size": 0}
	functions = map[string]int{"size": 1, "matches": 2, "int": 1, "uint": 1, "double": 1, "type": 1, "duration": 1, "timestamp": 1}
	regexes   = map[string]int{"extract": 3, "capture": 2, "captureN": 2} // of "re"
)

var reserved = strings.Fields("as break const continue else for function if import let loop package namespace return var void while in")

// checkExpression says why Envoy would not take a CEL expression. It would
// refuse a whole listener for it.
func checkExpression(s string) error {
	if len(s) > maxExpression {
		return fmt.Errorf("longer than %d bytes", maxExpression)
	}
	p := &celParser{rest: s}
	p.next()
	p.expression(0)
	if p.err == nil && p.kind != celEnd {
		p.fail("unexpected %q", p.token)
	}
	return p.err
}

// plausibleExpression tells whether Envoy takes a CEL expression.
func plausibleExpression(s string) bool { return checkExpression(s) == nil }

// tagExpression is what a label's expression is to Envoy: a label is a text
// anyway, so that string(x) is x.
func tagExpression(s string) (string, error) {
	if inner, ok := strings.CutPrefix(strings.TrimSpace(s), "string("); ok {
		if inner, ok := strings.CutSuffix(inner, ")"); ok && plausibleExpression(inner) {
			s = inner
		}
	}
	if strings.Contains(s, "%") {
		return "", errors.New("a percent sign ends the expression")
	}
	return s, checkExpression(s)
}

type celKind uint8

const (
	celEnd celKind = iota
	celName
	celLiteral
	celSign
)

// celParser reads an expression and keeps nothing of it but the first error.
type celParser struct {
	rest, token string
	kind        celKind
	err         error
}

func (p *celParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.kind, p.token, p.rest = celEnd, "", ""
}

// take goes on when the next token is the sign.
func (p *celParser) take(sign string) bool {
	if p.kind != celSign || p.token != sign {
		return false
	}
	p.next()
	return true
}

func (p *celParser) want(sign string) {
	if !p.take(sign) {
		p.fail("%q is missing", sign)
	}
}

// expression is "a ? b : c" and everything that binds more.
func (p *celParser) expression(depth int) {
	if depth > maxNesting {
		p.fail("nested more than %d deep", maxNesting)
		return
	}
	p.binary(depth)
	if p.take("?") {
		p.binary(depth + 1)
		p.want(":")
		p.expression(depth + 1)
	}
}

var binarySigns = strings.Fields("|| && < <= > >= == != + - * / %")

// binary is a row of operands; which of its signs bind more does not matter to
// whether it can be read.
func (p *celParser) binary(depth int) {
	for {
		p.unary(depth + 1)
		switch {
		case p.kind == celSign && slices.Contains(binarySigns, p.token):
			p.next()
		case p.kind == celName && p.token == "in":
			p.next()
		default:
			return
		}
	}
}

func (p *celParser) unary(depth int) {
	for _, sign := range []string{"!", "-"} {
		if p.kind == celSign && p.token == sign {
			for p.take(sign) {
			}
			break
		}
	}
	p.member(depth)
}

// member is a value with what is looked up in it or called on it.
func (p *celParser) member(depth int) {
	first := p.primary(depth)
	for n := 0; p.err == nil; n++ {
		switch {
		case p.take("."):
			name := p.token
			if p.kind != celName || slices.Contains(reserved, name) {
				p.fail("a name is missing after the dot")
				return
			}
			p.next()
			if p.take("(") {
				table := methods
				if first == "re" && n == 0 {
					table = regexes
				}
				p.call(name, table, depth)
			}
		case p.take("["):
			p.expression(depth + 1)
			p.want("]")
		default:
			return
		}
	}
}

// primary gives the name that it is, "" when it is none.
func (p *celParser) primary(depth int) string {
	switch {
	case p.kind == celLiteral:
		p.next()
	case p.kind == celName:
		name := p.token
		if slices.Contains(reserved, name) {
			p.fail("%q cannot stand here", name)
			return ""
		}
		p.next()
		if !p.take("(") {
			return name
		}
		if name == "has" {
			p.has(depth)
		} else {
			p.call(name, functions, depth)
		}
	case p.take("("):
		p.expression(depth + 1)
		p.want(")")
	case p.take("["):
		p.list("]", depth)
	case p.take("{"):
		for !p.take("}") && p.err == nil {
			p.expression(depth + 1)
			p.want(":")
			p.expression(depth + 1)
			if !p.take(",") {
				p.want("}")
				break
			}
		}
	default:
		p.fail("a value is missing")
	}
	return ""
}

// has asks whether there is a field, so that its argument ends with one.
func (p *celParser) has(depth int) {
	before := p.token + p.rest
	p.expression(depth + 1)
	argument := strings.TrimSpace(strings.TrimSuffix(before, p.token+p.rest))
	i := strings.LastIndexByte(argument, '.')
	if i < 0 || strings.Trim(argument[i+1:], celLetters) != "" {
		p.fail("has() wants a field, as in has(a.b)")
	}
	p.want(")")
}

func (p *celParser) call(name string, known map[string]int, depth int) {
	want, ok := known[name]
	if !ok {
		p.fail("%s() is nothing that Envoy can call", name)
		return
	}
	if n := p.list(")", depth); n != want {
		p.fail("%s() wants %d arguments", name, want)
	}
}

// list reads expressions up to the sign and counts them.
func (p *celParser) list(end string, depth int) (n int) {
	for !p.take(end) && p.err == nil {
		p.expression(depth + 1)
		n++
		if !p.take(",") {
			p.want(end)
			break
		}
		if p.kind == celSign && p.token == end && end == ")" {
			p.fail("an argument is missing")
		}
	}
	return n
}
