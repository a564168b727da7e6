package telemetry

import (
	"regexp"
	"strings"
)

const celLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

var (
	celNames   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	celNumbers = regexp.MustCompile(`^(?:0x[0-9a-fA-F]+[uU]?|[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[uU]?)`)
	celTexts   = regexp.MustCompile(`^[bB]?(?:"(?:[^"\\\n\r]|\\(?:[abfnrtv"'\\?` + "`" + `]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-3][0-7]{2}))*"|'(?:[^'\\\n\r]|\\(?:[abfnrtv"'\\?` + "`" + `]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-3][0-7]{2}))*')`)
	celRaw     = regexp.MustCompile(`^(?:[rR][bB]?|[bB][rR])(?:"[^"\n\r]*"|'[^'\n\r]*')`)
	celSigns   = strings.Fields("|| && <= >= == != < > + - * / % ! ? : . , ( ) [ ] { }")
)

// next reads one token.
func (p *celParser) next() {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n\f")
	p.kind, p.token = celEnd, ""
	if p.rest == "" {
		return
	}
	for _, pattern := range []*regexp.Regexp{celRaw, celTexts, celNumbers} {
		if t := pattern.FindString(p.rest); t != "" {
			p.read(celLiteral, t)
			return
		}
	}
	if t := celNames.FindString(p.rest); t != "" {
		kind := celName
		if t == "true" || t == "false" || t == "null" {
			kind = celLiteral
		}
		p.read(kind, t)
		return
	}
	for _, t := range celSigns {
		if strings.HasPrefix(p.rest, t) {
			p.read(celSign, t)
			return
		}
	}
	p.fail("%q cannot be read", p.rest[:1])
}

func (p *celParser) read(kind celKind, token string) {
	p.kind, p.token, p.rest = kind, token, p.rest[len(token):]
}
