package inject

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// change queues what makes the node, which means original, mean target. On
// false nothing is queued, and whoever holds the node must write it anew.
func (s *source) change(n *yamlv3.Node, original, target any) bool {
	if reflect.DeepEqual(original, target) {
		return true
	}
	before := len(s.changes)
	ok := false
	switch target := target.(type) {
	case map[string]any:
		if original, same := original.(map[string]any); same && n.Kind == yamlv3.MappingNode {
			if n.Style&yamlv3.FlowStyle != 0 {
				ok = s.flowMapping(n, original, target)
			} else {
				ok = s.blockMapping(n, original, target)
			}
		}
	case []any:
		if original, same := original.([]any); same && n.Kind == yamlv3.SequenceNode {
			if n.Style&yamlv3.FlowStyle != 0 {
				ok = s.flowSequence(n, original, target)
			} else {
				ok = s.blockSequence(n, original, target)
			}
		}
	}
	if !ok {
		s.changes = s.changes[:before]
		ok = s.rewrite(n, target)
	}
	return ok
}

// rewrite replaces a scalar or a flow collection by target on one line.
func (s *source) rewrite(n *yamlv3.Node, target any) bool {
	if n.Kind != yamlv3.ScalarNode && n.Style&yamlv3.FlowStyle == 0 {
		return false
	}
	start, end, ok := s.span(n)
	if !ok {
		return false
	}
	text, ok := flow(target)
	if word, isText := target.(string); isText && plainWord.MatchString(word) {
		text = word
	}
	s.replace(start, end, text)
	return ok
}

// plainWord is a path or an image, which needs no quotes anywhere in YAML.
var plainWord = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/._-]*/[A-Za-z0-9/._:@-]*[A-Za-z0-9]$`)

// fields are the keys of a mapping in the order of the text. Keys that come
// from elsewhere (<<) are not among them.
func fields(n *yamlv3.Node) (keys []string, key, value map[string]*yamlv3.Node) {
	key, value = map[string]*yamlv3.Node{}, map[string]*yamlv3.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		keys = append(keys, name)
		key[name], value[name] = n.Content[i], n.Content[i+1]
	}
	return keys, key, value
}

// added are the keys of target that the text does not have, in order.
func added(target map[string]any, have map[string]*yamlv3.Node, original map[string]any) []string {
	var names []string
	for name := range target {
		if have[name] == nil && !reflect.DeepEqual(original[name], target[name]) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, fieldOrder)
	return names
}

func (s *source) blockMapping(n *yamlv3.Node, original, target map[string]any) bool {
	keys, key, value := fields(n)
	if len(keys) == 0 {
		return false
	}
	indentation := key[keys[0]].Column - 1
	first := key[keys[0]].Line - 1
	end := s.blockEnd(first, indentation, false, endsInLiteral(n))
	for i, name := range keys {
		next := end
		if i+1 < len(keys) {
			next = key[keys[i+1]].Line - 1
		}
		wanted, kept := target[name]
		if kept && s.change(value[name], original[name], wanted) {
			continue
		}
		if !s.rewriteField(key[name], value[name], next, indentation, wanted, kept) {
			return false
		}
	}
	var text strings.Builder
	for _, name := range added(target, value, original) {
		lines, err := render(map[string]any{name: target[name]}, indentation)
		if err != nil {
			return false
		}
		text.Write(lines)
	}
	if text.Len() > 0 {
		s.insertLines(end, text.String())
	}
	return true
}

// rewriteField writes a field of a block mapping anew, or takes it away. Its
// lines go up to next; comments and blank lines before that stay.
func (s *source) rewriteField(key, value *yamlv3.Node, next, indentation int, wanted any, kept bool) bool {
	first := key.Line - 1
	spaces, _ := s.indent(first)
	if value.Kind == yamlv3.AliasNode || value.Anchor != "" || first >= next {
		return false
	}
	for next > first+1 {
		if _, blank := s.indent(next - 1); !blank || endsInLiteral(value) {
			break
		}
		next--
	}
	var lines []byte
	if kept {
		var err error
		if lines, err = render(map[string]any{key.Value: wanted}, indentation); err != nil {
			return false
		}
	}
	if spaces == indentation {
		s.replace(s.lineStart(first), s.lineStart(next), string(lines))
		return true
	}
	// The first field of an item stands behind the item's dash.
	start, ok := s.offset(key)
	if !ok || !kept {
		return false
	}
	s.replace(start, s.lineStart(next), strings.TrimLeft(string(lines), " "))
	return true
}

// pair is continued, if the items that stay stay in order and none is gone.
func pair(original, target []any) ([]int, bool) {
	pairs := continued(original, target)
	used := 0
	for _, from := range pairs {
		if from < 0 {
			continue
		}
		if from != used {
			return nil, false
		}
		used++
	}
	return pairs, used == len(original)
}

func (s *source) blockSequence(n *yamlv3.Node, original, target []any) bool {
	pairs, ok := pair(original, target)
	if !ok || len(n.Content) != len(original) || len(original) == 0 {
		return false
	}
	first, indentation := n.Line-1, n.Column-1
	if spaces, _ := s.indent(first); spaces != indentation || !strings.HasPrefix(s.line(first)[spaces:], "-") {
		return false
	}
	end := s.blockEnd(first, indentation, true, endsInLiteral(n))
	at := s.afterKey(first, indentation)
	for i, from := range pairs {
		if from >= 0 {
			if !s.change(n.Content[from], original[from], target[i]) {
				return false
			}
			at = end
			if from+1 < len(n.Content) {
				at = n.Content[from+1].Line - 1
			}
			continue
		}
		item, err := render([]any{target[i]}, indentation)
		if err != nil {
			return false
		}
		s.insertLines(at, string(item))
	}
	return true
}

// afterKey is the line after the one that holds the sequence's key: comments
// between the two belong to the first item.
func (s *source) afterKey(first, indentation int) int {
	for first > 0 {
		if spaces, blank := s.indent(first - 1); !blank || spaces < indentation || strings.TrimSpace(s.line(first-1)) == "" {
			break
		}
		first--
	}
	return first
}

func (s *source) flowMapping(n *yamlv3.Node, original, target map[string]any) bool {
	_, _, value := fields(n)
	for name, node := range value {
		wanted, kept := target[name]
		if !kept || !s.change(node, original[name], wanted) {
			return false
		}
	}
	var texts []string
	for _, name := range added(target, value, original) {
		key, ok := flow(name)
		text, ok2 := flow(target[name])
		if !ok || !ok2 {
			return false
		}
		texts = append(texts, key+": "+text)
	}
	return s.addToFlow(n, texts)
}

func (s *source) flowSequence(n *yamlv3.Node, original, target []any) bool {
	pairs, ok := pair(original, target)
	if !ok || len(n.Content) != len(original) {
		return false
	}
	var before, after []string
	seen := false
	for i, from := range pairs {
		if from >= 0 {
			if !s.change(n.Content[from], original[from], target[i]) {
				return false
			}
			seen = true
			continue
		}
		text, ok := flow(target[i])
		if !ok || (seen && i < len(pairs)-1 && pairs[i+1] >= 0) {
			return false
		}
		if seen || len(original) == 0 {
			after = append(after, text)
		} else {
			before = append(before, text)
		}
	}
	if len(before) > 0 {
		start, ok := s.offset(n)
		if !ok || s.text[start] != '[' {
			return false
		}
		s.replace(start+1, start+1, strings.Join(before, ", ")+", ")
	}
	return s.addToFlow(n, after)
}

// addToFlow puts members before the closing bracket of a flow collection. Where
// the bracket stands on a line of its own, so do they.
func (s *source) addToFlow(n *yamlv3.Node, texts []string) bool {
	if len(texts) == 0 {
		return true
	}
	start, end, ok := s.span(n)
	if !ok {
		return false
	}
	at := end - 1
	for at > start+1 && strings.ContainsRune(" \t\r\n", rune(s.text[at-1])) {
		at--
	}
	between := ", "
	if gap := string(s.text[at : end-1]); strings.Contains(gap, "\n") {
		between = ",\n" + gap[strings.LastIndex(gap, "\n")+1:] + "    "
	}
	text := strings.Join(texts, between)
	if len(n.Content) > 0 {
		text = between + text
	}
	s.replace(at, at, text)
	return true
}
