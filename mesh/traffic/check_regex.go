package traffic

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
)

// What regular expressions may cost every proxy, in the instructions that RegexCost
// counts: one, and all of one object.
const (
	maxRegex     = 20_000
	maxRegexes   = 500_000
	maxRegexText = 8 << 10 // bytes of one; a class is a few bytes of text and some kB when it is read
)

// checkRegex tells whether Envoy will take a regular expression, and how many
// groups it captures. Go's syntax is RE2's, less what nobody should use (\C).
func (c *ruleCheck) checkRegex(text string) (groups int, err error) {
	if text == "" {
		return 0, errors.New("the regular expression is empty")
	}
	if len(text) > maxRegexText {
		return 0, fmt.Errorf("the regular expression is too large (%d of %d bytes)", len(text), maxRegexText)
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("the regular expression cannot be read (%w)", err)
	}
	if wideEscape(text) {
		return 0, errors.New(`the regular expression has an escape \x{...} over ff, which not every Envoy takes: write the character itself`)
	}
	cost := regexCost(re)
	if cost > maxRegex {
		return 0, fmt.Errorf("the regular expression is too large (%d of %d instructions)", cost, maxRegex)
	}
	if c.regexes += cost; c.regexes > maxRegexes {
		return 0, fmt.Errorf("the regular expressions of the object are too large together (more than %d instructions)", maxRegexes)
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
// regular expression to; 0 when it is invalid. Envoy refuses those of more than
// a hundred unless it is told otherwise. Nothing is compiled: a few bytes may
// repeat others a thousand times.
func RegexCost(text string) int {
	if len(text) > maxRegexText {
		return 0
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0
	}
	return regexCost(re)
}

func regexCost(re *syntax.Regexp) int { return 2 + partCost(re) }

// partCost is for UTF-8, which RE2 matches byte by byte: what is beyond ASCII takes
// several instructions. Parse bounds the repetitions within one another, so that no sum
// is beyond an int.
func partCost(re *syntax.Regexp) int {
	sum := 0
	for _, sub := range re.Sub {
		sum += partCost(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r < 0x80 {
				sum += 2 // with the other case
			} else {
				sum += 8
			}
		}
	case syntax.OpCharClass:
		sum = 1
		for j := 0; j+1 < len(re.Rune); j += 2 {
			if re.Rune[j+1] < 0x80 {
				sum++
			} else {
				sum += 10
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		sum = 12
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		sum += 2
	case syntax.OpAlternate:
		sum += len(re.Sub)
	case syntax.OpRepeat:
		sum = (sum + 1) * max(1, re.Min, re.Max)
	case syntax.OpConcat:
	default: // matches between characters
		sum++
	}
	return sum
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
