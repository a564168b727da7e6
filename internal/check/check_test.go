package check

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

var update = flag.Bool("update", false, "write what is printed now as what is wanted")

// TestCommand compares what "fairway check" prints about each testdata/*.yaml
// with the .txt beside it.
func TestCommand(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		cmd := NewCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"-f", file})
		err := cmd.Execute()
		golden := strings.TrimSuffix(file, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if out.String() != string(want) {
			t.Errorf("%s printed\n%s\nwant\n%s", file, &out, want)
		}
		if invalid := strings.Contains(out.String(), "invalid  "); invalid != (err != nil) {
			t.Errorf("%s ended with %v", file, err)
		}
	}
}

// TestSamples holds the samples to be without fault.
func TestSamples(t *testing.T) {
	all, err := filepath.Glob("../../samples/*/*.yaml")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	folders := map[string]bool{}
	for _, file := range all {
		folders[filepath.Dir(file)] = true
	}
	delete(folders, "../../samples/tests") // says what becomes of requests, in words that are no manifests
	for folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		texts, err := read(files, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range readManifests(texts).findings(nil).Entries {
			if e.Severity == object.SeverityError {
				t.Errorf("%s: %s", folder, e.said())
			}
		}
	}
}

// TestBase looks at objects beside those of a cluster.
func TestBase(t *testing.T) {
	parse := func(text string) []informers.Object {
		objects, _, err := informers.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return objects
	}
	service := parse("{apiVersion: v1, kind: Service, metadata: {name: reviews}, spec: {ports: [{port: 80}]}}")
	older := parse(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: first, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}}`)
	route := parse("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: second}, spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}}")
	rule := parse("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: reviews}, spec: {host: reviews, subsets: [{name: v1}]}}")
	for _, c := range []struct {
		what string
		base []informers.Object
		want []object.Code
	}{
		{"beside another service", parse("{apiVersion: v1, kind: Service, metadata: {name: ratings}, spec: {ports: [{port: 80}]}}"), []object.Code{object.CodeHostNotFound}},
		{"beside the service", service, []object.Code{object.CodeSubsetMissing}},
		{"beside the service and the rule", append(rule, service...), nil},
		{"beside an older one", append(append(rule, service...), older...), []object.Code{object.CodeConflict}},
	} {
		var base []mesh.Change
		for _, o := range c.base {
			base = append(base, o.Change)
		}
		results, _ := Set(base, route)
		r := results[0]
		var codes []object.Code
		for _, f := range r.Warnings {
			codes = append(codes, f.Code)
		}
		if len(r.Invalid) > 0 || strings.Join(texts(codes), " ") != strings.Join(texts(c.want), " ") {
			t.Errorf("%s: %v, want %v", c.what, r, c.want)
		}
		if admitted := Admission(t.Context(), route[0], mesh.Build(base)); len(admitted.Warnings) != len(r.Warnings) {
			t.Errorf("%s: the webhook says %v, the command %v", c.what, admitted.Warnings, r.Warnings)
		}
	}
}

func texts(codes []object.Code) (out []string) {
	for _, c := range codes {
		out = append(out, string(c))
	}
	return out
}

func TestNothingToRead(t *testing.T) {
	for _, args := range [][]string{nil, {"-f", "testdata/none.yaml"}, {"-f", "testdata/routes.yaml", "--kubeconfig", "testdata/none"}} {
		cmd := NewCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	cmd := NewCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetIn(strings.NewReader("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}"))
	cmd.SetArgs([]string{"-f", "-"})
	if err := cmd.Execute(); err != nil || out.String() != "1 objects: 0 invalid, 0 warnings\n" {
		t.Errorf("%v: %s", err, &out)
	}
}

// TestFilesByThemselves: files are taken with and without -f.
func TestFilesByThemselves(t *testing.T) {
	printed := func(args ...string) string {
		cmd := NewCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		_ = cmd.Execute() // what is found is printed
		return out.String()
	}
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) < 2 {
		t.Fatalf("there are %d files", len(files))
	}
	want := printed("-f", files[0], "-f", files[1])
	for _, args := range [][]string{{files[0], files[1]}, {"-f", files[0], files[1]}, {"--strict", files[0], files[1]}} {
		if got := printed(args...); got != want || got == "" {
			t.Errorf("%v printed\n%s\nwant\n%s", args, got, want)
		}
	}
}
