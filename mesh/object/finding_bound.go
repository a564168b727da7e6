package object

import (
	"fmt"
	"slices"
	"strings"
)

// What is said about one object, at most: more is neither read nor helps to
// mend it. An object of 1.5 MB can be wrong in a hundred thousand places.
const (
	MaxFindings    = 100  // by step that finds them
	maxFindingText = 1024 // bytes of a field and of a message, each; both quote what the owner wrote
)

// BoundFindings are findings of one object with texts of at most so many bytes: the
// first MaxFindings, and one that says how many are left out. Where some are, those
// with CodeInvalid come first: they decide whether the object is refused.
func BoundFindings(list []Finding) []Finding {
	if len(list) > MaxFindings {
		kept := make([]Finding, 0, MaxFindings+1)
		for _, invalid := range []bool{true, false} {
			for _, f := range list {
				if len(kept) < MaxFindings && (f.Code == CodeInvalid) == invalid {
					kept = append(kept, f)
				}
			}
		}
		last := kept[len(kept)-1]
		more := fmt.Sprintf("and %d more findings, which are not listed: mend these first", len(list)-len(kept))
		list = append(kept, Finding{Object: last.Object, Code: last.Code, Message: more})
	}
	if !slices.ContainsFunc(list, Finding.long) {
		return list
	}
	list = slices.Clone(list)
	for i, f := range list {
		list[i].Field, list[i].Message = Shortened(f.Field), Shortened(f.Message)
	}
	return list
}

func (f Finding) long() bool { return len(f.Field) > maxFindingText || len(f.Message) > maxFindingText }

// Shortened keeps the beginning of a text, which says where, and its end, which says
// what to do.
func Shortened(text string) string {
	if len(text) <= maxFindingText {
		return text
	}
	const half = maxFindingText/2 - 4
	return strings.ToValidUTF8(text[:half], "") + " … " + strings.ToValidUTF8(text[len(text)-half:], "")
}
