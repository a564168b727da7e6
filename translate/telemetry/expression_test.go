package telemetry

import (
	_ "embed"
	"strings"
	"testing"
)

// good are expressions that pass; translate's tests hold them against a real Envoy.
//
//go:embed testdata/expressions
var good string

func goodExpressions() []string { return strings.Split(strings.TrimSpace(good), "\n") }

var badExpressions = []string{
	"", "(", ")", "'", "a(", "a b", "a ==", "== a", "a.", "a..b", ".", "a[", "a[]", "f(1)", "string(1)", "a.exists(x, x == 1)", "startsWith('a')", "a.startsWith()",
	"a.startsWith('a', 'b')", "has(a)", "has(a.b(1))", "a ? b", "a : b", "a ? b ? c : d", "1 2", "'a", "\"a'", "a & b", "a = b", "while", "a.in", "in", "{1}", "{1: }", "[1,,2]", "size()",
	"@a", "a#b", "'\\q'", "re.nope('a')", "a.matches('b',)", "!-1 ==",
}

func TestCheckExpression(t *testing.T) {
	for _, s := range goodExpressions() {
		if err := checkExpression(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range badExpressions {
		if checkExpression(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestTagExpression(t *testing.T) {
	for in, want := range map[string]string{"request.host": "request.host", "string(destination.port)": "destination.port", " string(a[1]) ": "a[1]", "string(a) == string(b)": "", "1 % 2": "", "(": ""} {
		got, err := tagExpression(in)
		if err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzCheckExpression(f *testing.F) {
	for _, s := range goodExpressions() {
		f.Add(s)
	}
	for _, s := range badExpressions {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkExpression(s) != nil {
			return
		}
		if err := checkExpression("(" + s + ")"); err != nil && len(s) < maxExpression-2 && err.Error() != "nested more than 50 deep" {
			t.Errorf("%q is an expression and is none in parentheses: %v", s, err)
		}
	})
}
