package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/fairway-mesh/fairway/mesh"
)

var updateReference = flag.Bool("update", false, "write docs/reference.md anew")

const referenceFile = "../../docs/reference.md"

// TestReference holds docs/reference.md to what the code says; -update writes it.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reference\n\nCommands, settings, chart values and metrics, as the code declares them. Made by `go test ./cmd/fairway -run Reference -update`; " +
		"a test holds it current.\nWhat is found about objects is in [findings.md](findings.md), what of Istio's API is served in [features.md](features.md).\n\n")
	b.WriteString("## Commands\n\n`fairway COMMAND --help` says the same.\n")
	for _, c := range newRoot().Commands() {
		command(&b, c)
	}
	b.WriteString("\n## Settings\n\nThe section `fairway` of the mesh configuration (the ConfigMap `istio`, or the file of `--mesh-config`), beside Istio's MeshConfig. They change live.\n\n```yaml\nfairway:\n  routeHold: 3s\n```\n\n")
	settings(t, &b)
	b.WriteString("\n## Chart values\n\nOf the chart in `charts/fairway`; `values.schema.json` holds their types.\n\n| value | default | what it is |\n|---|---|---|\n")
	values(t, &b)
	b.WriteString("\n## Metrics\n\nOf the control plane, at `/metrics` of the debug port (15014). Those of proxies are Istio's standard metrics, at port 15090 of each.\n\n| metric | labels | what it says |\n|---|---|---|\n")
	for _, m := range declaredMetrics(t) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, strings.Join(m.labels, ", "), m.help)
	}
	if *updateReference {
		if err := os.WriteFile(referenceFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(referenceFile); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the code says (%v): run with -update", referenceFile, err)
	}
}

// command writes a command and those below it.
func command(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n`%s`\n\n%s\n", c.CommandPath(), c.UseLine(), paragraph(c))
	if c.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.TrimSpace(unindented(c.Example)))
	}
	rows := ""
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		shown := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" {
			shown = "`" + f.DefValue + "`"
		}
		rows += fmt.Sprintf("| `%s` | %s | %s |\n", strings.TrimSpace(name+" "+kind), shown, cell(usage))
	})
	if rows != "" {
		fmt.Fprintf(b, "\n| flag | default | |\n|---|---|---|\n%s", rows)
	}
	for _, sub := range c.Commands() {
		command(b, sub)
	}
}

// paragraph is the long text of a command, with its indented parts as code.
func paragraph(c *cobra.Command) string {
	text := strings.TrimSpace(c.Long)
	if text == "" {
		return sentence(c.Short)
	}
	var out []string
	for part := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(part, " ") || strings.HasPrefix(part, "\t") {
			part = "```\n" + unindented(part) + "\n```"
		}
		out = append(out, part)
	}
	return strings.Join(out, "\n\n")
}

func unindented(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(l, "  "), "\t")
	}
	return strings.Join(lines, "\n")
}

func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(s))
}

// settings writes the fields of mesh.Settings with their comments.
func settings(t *testing.T, b *strings.Builder) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../mesh/settings.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.TypeSpec); ok && s.Name.Name == "Settings" {
			for _, f := range s.Type.(*ast.StructType).Fields.List {
				documented[f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return true
	})
	for f := range reflect.TypeFor[mesh.Settings]().Fields() {
		text, ok := strings.CutPrefix(documented[f.Name], f.Name+" (")
		written, rest, cut := strings.Cut(text, ") ")
		if !ok || !cut {
			t.Errorf("the comment of Settings.%s does not begin with its name and, in parentheses, how it is written", f.Name)
		}
		name, shape, _ := strings.Cut(written, ": ")
		upper := []rune(rest)
		if len(upper) > 0 {
			upper[0] = unicode.ToUpper(upper[0])
		}
		text = strings.TrimPrefix(strings.TrimPrefix(string(upper), "Is "), "is ")
		fmt.Fprintf(b, "- `%s` (%s): %s\n", name, shape, text)
	}
}

// values writes the values of the chart: a comment that begins with "--" is what its
// value is.
func values(t *testing.T, b *strings.Builder) {
	t.Helper()
	text, err := os.ReadFile("../../charts/fairway/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			name := strings.TrimPrefix(path+"."+key.Value, ".")
			_, said, has := strings.Cut(uncommented(key.HeadComment), "-- ")
			if !has && value.Kind == yaml.MappingNode && len(value.Content) > 0 {
				walk(name, value)
				continue
			}
			if !has {
				t.Errorf("the value %s of the chart has no comment that begins with --", name)
			}
			shown, err := yaml.Marshal(bare(value))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", name, strings.TrimSpace(string(shown)), cell(said))
		}
	}
	walk("", root.Content[0])
}

// bare is a value on one line and without comments.
func bare(n *yaml.Node) *yaml.Node {
	out := *n
	out.HeadComment, out.LineComment, out.FootComment, out.Style = "", "", "", yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		out.Style = n.Style
	}
	out.Content = nil
	for _, c := range n.Content {
		out.Content = append(out.Content, bare(c))
	}
	return &out
}

// uncommented is the last paragraph of a comment, as text.
func uncommented(comment string) string {
	parts := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(parts[len(parts)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.Join(words, " ")
}

type declaredMetric struct {
	name, help string
	labels     []string
}

var metricName = regexp.MustCompile(`^(fairway|pilot|istio|galley|sidecar)(_[a-z0-9]+)+$`)

// declaredMetrics finds where the code declares metrics: a name and a help text, in the
// options of Prometheus's library or as the first arguments of a call.
func declaredMetrics(t *testing.T) (out []declaredMetric) {
	t.Helper()
	for _, dir := range []string{"..", "../../discovery", "../../internal", "../../informers", "../../snapshot"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if m := metricOf(n); metricName.MatchString(m.name) && m.help != "" {
					out = append(out, m)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(out, func(a, b declaredMetric) int {
		return cmp.Or(strings.Compare(a.name, b.name), len(b.labels)-len(a.labels))
	})
	// The options of a vector are found by themselves too.
	out = slices.CompactFunc(out, func(a, b declaredMetric) bool { return a.name == b.name && a.help == b.help })
	if len(out) < 40 {
		t.Errorf("only %d metrics were found", len(out))
	}
	for i, m := range out {
		if i > 0 && out[i-1].name == m.name {
			t.Errorf("%s is declared twice", m.name)
		}
	}
	return out
}

func metricOf(n ast.Node) (m declaredMetric) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				switch key, _ := kv.Key.(*ast.Ident); {
				case key == nil:
				case key.Name == "Name":
					m.name = text(kv.Value)
				case key.Name == "Help":
					m.help = text(kv.Value)
				}
			}
		}
	case *ast.CallExpr:
		if len(n.Args) < 2 {
			return m
		}
		if options, ok := n.Args[0].(*ast.CompositeLit); ok { // NewCounterVec(options, labels)
			m = metricOf(options)
			m.labels = list(n.Args[1])
			return m
		}
		m.name, m.help = text(n.Args[0]), text(n.Args[1])
		for _, a := range n.Args[2:] {
			if label := text(a); label != "" {
				m.labels = append(m.labels, label)
			}
			m.labels = append(m.labels, list(a)...)
		}
	}
	return m
}

// text is a literal, or several in a sum; empty for anything else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return ""
}

// list is a literal list of strings.
func list(e ast.Expr) (out []string) {
	if l, ok := e.(*ast.CompositeLit); ok {
		for _, x := range l.Elts {
			if s := text(x); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
