package bootstrap

import "strings"

// Escape makes text that the kubelet hands on as it is: in the args of a
// container $(NAME) is a variable and $$ is one dollar sign.
// See "Define a Command and Arguments for a Container" in Kubernetes' documentation.
func Escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// Expand does what the kubelet does to an argument of a container: $(NAME)
// becomes lookup's value, $$ one dollar sign, and a variable that lookup does
// not know stays as it stands.
func Expand(arg string, lookup func(name string) (string, bool)) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(arg, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		arg = rest
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			arg = rest[1:]
		case strings.HasPrefix(rest, "("):
			name, after, closed := strings.Cut(rest[1:], ")")
			if !closed {
				out.WriteByte('$')
				continue
			}
			if value, ok := lookup(name); ok {
				out.WriteString(value)
			} else {
				out.WriteString("$(" + name + ")")
			}
			arg = after
		default:
			out.WriteByte('$')
		}
	}
}
