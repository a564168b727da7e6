package check

import (
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Fields of an object that hold the name of a Secret, and those that hold references to such.
var (
	secretFields    = []string{"credentialName", "credentialNames", "caCertCredentialName", "secretName"}
	secretRefFields = []string{"certificateRefs", "caCertificateRefs"}
)

// naming is where the object names a Secret; where it stands itself when it does not. A
// server that verifies its clients reads a second Secret, whose name it need not write: that
// of its own with an ending.
func (p position) naming(secret string) position {
	if p.at != nil {
		spec, _ := p.at.find(strings.TrimPrefix(p.path+".spec", "."))
		for _, name := range []string{secret, strings.TrimSuffix(secret, registry.CASecretSuffix)} {
			if at := namingIn(spec, name); at != nil {
				p.from = p.at.from + at.Line - 1
				break
			}
		}
	}
	p.at = nil
	return p
}

// namingIn is the first text below a node that names a Secret; nil when none does.
func namingIn(n *yamlv3.Node, secret string) *yamlv3.Node {
	if n == nil {
		return nil
	}
	for i, c := range n.Content {
		key := ""
		if n.Kind == yamlv3.MappingNode && i%2 == 1 {
			key = n.Content[i-1].Value
		}
		at := namingIn(c, secret)
		switch {
		case slices.Contains(secretFields, key):
			at = first(c, func(t *yamlv3.Node) bool { return secretOf(t.Value) == secret })
		case slices.Contains(secretRefFields, key):
			at = first(c, func(t *yamlv3.Node) bool { return t.Value == secret })
		}
		if at != nil {
			return at
		}
	}
	return nil
}

// secretOf is the name of the Secret in a credentialName, which may say more.
func secretOf(text string) string { return text[strings.LastIndexByte(text, '/')+1:] }

// first is the first text at or below a node of which something is so; nil for none.
func first(n *yamlv3.Node, is func(*yamlv3.Node) bool) *yamlv3.Node {
	if n.Kind == yamlv3.ScalarNode && is(n) {
		return n
	}
	for i, c := range n.Content {
		if n.Kind == yamlv3.MappingNode && i%2 == 0 {
			continue // a key
		}
		if at := first(c, is); at != nil {
			return at
		}
	}
	return nil
}
