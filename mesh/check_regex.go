package mesh

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
)

// maxRegex bounds what a regex costs every proxy, in the instructions that
// RegexCost counts.
const maxRegex = 20000

// checkRegex tells whether Envoy will take a regular expression, and how many
// groups it captures. Go's syntax is RE2's, less what nobody should use (\C).
func checkRegex(text string) (groups int, err error) {
	if text == "" {
		return 0, errors.New("the regular expression is empty")
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("the regular expression cannot be read (%w)", err)
	}
	if wideEscape(text) {
		return 0, errors.New(`the regular expression has an escape \x{...} over ff, which not every Envoy takes: write the character itself`)
	}
	if cost := RegexCost(text); cost > maxRegex {
		return 0, fmt.Errorf("the regular expression is too large (%d of %d instructions)", cost, maxRegex)
	}
	return re.MaxCap(), nil
}

// wideEscape tells whether the regular expression writes a character beyond one
// byte as \x{...}: Envoy 1.40 matches byte by byte and refuses it.
func wideEscape(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if rest, ok := strings.CutPrefix(text[i:], "x{"); ok {
			digits, _, _ := strings.Cut(rest, "}")
			if n, err := strconv.ParseUint(digits, 16, 32); err == nil && n > 0xff {
				return true
			}
		}
	}
	return false
}

// RegexCost estimates, from above, how many instructions RE2 compiles the
// regular expression to; 0 when it is invalid. Envoy refuses those of more
// than a hundred unless it is told otherwise.
func RegexCost(text string) int {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0
	}
	cost := 0
	for i := range prog.Inst {
		cost += instructionCost(&prog.Inst[i])
	}
	return cost
}

// instructionCost is for UTF-8, which RE2 matches byte by byte: a range beyond
// ASCII takes several instructions.
func instructionCost(i *syntax.Inst) int {
	switch i.Op {
	case syntax.InstRune, syntax.InstRune1:
		if len(i.Rune) == 1 {
			if i.Rune[0] < 0x80 {
				return 2 // with the other case
			}
			return 8
		}
		cost := 1
		for j := 0; j+1 < len(i.Rune); j += 2 {
			if i.Rune[j+1] < 0x80 {
				cost++
			} else {
				cost += 10
			}
		}
		return cost
	case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return 12
	}
	return 1
}

// checkSubstitution checks what replaces the match of a regex of so many
// groups: \0 to \9 stand for what they captured, \\ for a backslash.
func checkSubstitution(text string, groups int) error {
	if control(text) {
		return errors.New("it holds a control character: remove that")
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(text) || text[i] != '\\' && (text[i] < '0' || text[i] > '9'):
			return errors.New(`a backslash stands alone: write \\ for one, or \1 for what a group captured`)
		case text[i] != '\\' && int(text[i]-'0') > groups:
			return fmt.Errorf(`\%c stands for a group that the regular expression does not have: it has %d`, text[i], groups)
		}
	}
	return nil
}
