package inject

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestOnlyAdds holds that manifests without probes keep every one of their lines.
func TestOnlyAdds(t *testing.T) {
	for _, name := range []string{"literal.yaml", "untouched.yaml"} {
		in, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := run(in, arguments(in)...)
		if err != nil {
			t.Fatal(err)
		}
		rest := strings.SplitAfter(out, "\n")
		for line := range strings.Lines(string(in)) {
			i := slices.Index(rest, line)
			if i < 0 {
				t.Fatalf("%s lost the line %q, or its place", name, line)
			}
			rest = rest[i+1:]
		}
	}
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: web
        image: web:1
`

func TestEndsOfLinesStay(t *testing.T) {
	windows := strings.ReplaceAll(deployment, "\n", "\r\n")
	for name, in := range map[string]string{"windows": windows, "no newline at the end": strings.TrimSuffix(deployment, "\n"), "byte order mark": "\ufeff" + deployment} {
		out, notes, err := run([]byte(in))
		if err != nil || strings.Contains(notes, "anew") {
			t.Errorf("%s: %v %s", name, err, notes)
			continue
		}
		if name == "windows" && strings.Count(out, "\n") != strings.Count(out, "\r\n") {
			t.Errorf("%s: lines end in two ways", name)
		}
		if !strings.HasPrefix(out, in[:40]) {
			t.Errorf("%s: begins with %q", name, out[:40])
		}
	}
}

func TestRefusedDocuments(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"broken":         {"a: b\n---\na: [\n", "document at line 3: not YAML"},
		"wrong type":     {strings.Replace(deployment, "image: web:1", "image: [1]", 1), "Deployment default/web: not a pod template"},
		"bad annotation": {strings.Replace(deployment, "    spec:", "    metadata: {annotations: {sidecar.istio.io/proxyCPU: x}}\n    spec:", 1), "annotation sidecar.istio.io/proxyCPU"},
		"in a list":      {"kind: List\napiVersion: v1\nitems:\n- {kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {containers: 1}}\n", "item 0: Pod default/a: not a pod template"},
	} {
		out, _, err := run([]byte(deployment + "---\n" + tc.in))
		if err == nil || !strings.Contains(err.Error(), tc.want[len("document at line 3"):]) && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
		}
		if out != "" {
			t.Errorf("%s: half a result was written", name)
		}
	}
	if _, _, err := run(nil, "--xds-address", ""); err == nil || !strings.Contains(err.Error(), "--xds-address") {
		t.Errorf("without a control plane: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	one, two, result := dir+"/one.yaml", dir+"/two.yaml", dir+"/result.yaml"
	for name, text := range map[string]string{one: "a: b", two: deployment} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := NewCommand()
	cmd.SetArgs([]string{"-f", one, "-f", two, "-o", result})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(result)
	if err != nil || !strings.HasPrefix(string(text), "a: b\n---\napiVersion") || !strings.Contains(string(text), InitContainer) {
		t.Errorf("%v:\n%s", err, text)
	}
}

// FuzzDocuments holds, for any text: no panic; what comes out can be read;
// documents without pods are the same bytes; twice is the same as once; and
// nothing of the user's is lost.
func FuzzDocuments(f *testing.F) {
	for _, name := range cases(f) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		for _, part := range split(text) {
			if !part.separator {
				f.Add(part.text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := DefaultParams()
		quiet := func(string, string) {}
		var out, again bytes.Buffer
		if err := Documents(bytes.NewReader(in), &out, p, quiet); err != nil {
			if out.Len() > 0 {
				t.Fatal("half a result was written")
			}
			return
		}
		if err := Documents(bytes.NewReader(out.Bytes()), &again, p, quiet); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Fatalf("twice is not once (%v):\n%s\n---- and then\n%s", err, out.Bytes(), again.Bytes())
		}
		before, after := split(in), split(out.Bytes())
		if len(before) != len(after) {
			t.Fatalf("%d documents became %d", len(before), len(after))
		}
		for i := range before {
			if !bytes.Contains(before[i].text, []byte("containers")) && !bytes.Equal(before[i].text, after[i].text) {
				t.Fatalf("a document without containers changed:\n%s\n---- to\n%s", before[i].text, after[i].text)
			}
			if !before[i].separator && !directive.Match(before[i].text) {
				one, err1 := decode(before[i].text)
				two, err2 := decode(after[i].text)
				if err1 != nil || err2 != nil || !kept(one, two) {
					t.Fatalf("something is lost (%v, %v):\n%s\n---- became\n%s", err1, err2, before[i].text, after[i].text)
				}
			}
		}
	})
}

// kept says whether two has all that one has. Probes may have changed, and the pull
// policy that goes with the image "auto".
func kept(one, two any) bool {
	switch one := one.(type) {
	case map[string]any:
		two, ok := two.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range one {
			switch key {
			case "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "imagePullPolicy":
				continue
			}
			if !kept(value, two[key]) {
				return false
			}
		}
		return true
	case []any:
		list, ok := two.([]any)
		if !ok {
			return false
		}
		for _, item := range one {
			if !slices.ContainsFunc(list, func(other any) bool { return kept(item, other) }) {
				return false
			}
		}
		return true
	case nil:
		return true
	case string:
		return one == autoImage || reflect.DeepEqual(one, two)
	}
	return reflect.DeepEqual(one, two)
}
