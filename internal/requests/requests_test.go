package requests

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/operate"
)

// run runs a file, with each text in it replaced by another.
func run(t *testing.T, name string, replaced ...string) []Result {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replaced); i += 2 {
		if !bytes.Contains(text, []byte(replaced[i])) {
			t.Fatalf("no %q in %s", replaced[i], name)
		}
		text = bytes.ReplaceAll(text, []byte(replaced[i]), []byte(replaced[i+1]))
	}
	suites, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var out []Result
	for _, s := range suites {
		for i, m := range s.Manifests {
			s.Manifests[i] = filepath.Join(filepath.Dir(name), m)
		}
		o, err := operate.ReadMesh(t.Context(), nil, s.Manifests, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s.Run(t.Context(), NewMesh(o))...)
	}
	return out
}

// TestRequests: what the file expects is so.
func TestRequests(t *testing.T) {
	for _, r := range run(t, "testdata/requests.yaml") {
		if len(r.Wrong) > 0 {
			t.Errorf("line %d, %s: %s\n%+v", r.Line, r.Name, strings.Join(r.Wrong, "\n"), r.Outcome)
		}
	}
}

// TestSamples: the requests of the tutorials are as their files say.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../samples/tests/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		for _, r := range run(t, f) {
			if len(r.Wrong) > 0 {
				t.Errorf("%s, line %d: %v", f, r.Line, r.Wrong)
			}
		}
	}
}

// TestWhatIsOtherwise: every expectation that is not met is told, and no other.
func TestWhatIsOtherwise(t *testing.T) {
	for _, c := range [][3]string{
		{"host: web, port: 80, weight: 100", "host: web, port: 81, weight: 100", "want destination web:81"},
		{"weight: 100", "weight: 50", "want 50% at web:80"},
		{"by: shop-reads", "by: another", "want AuthorizationPolicy default/another"},
		{"status: 308", "status: 301", "want status 301, and it is 308"},
		{"web.example/new?a=1", "web.example/new", "want location"},
		{`x-pot: "100%"`, "x-pot: '1'", "want answer's header x-pot"},
		{"x-cup: null", "x-cup: '1'", "want answer's header x-cup"},
		{"path: /v2/items?n=3", "path: /api/items", "want path"},
		{"host: inner.example", "host: web", "want host"},
		{"x-who: shop,", "x-who: me,", "want header x-who"},
		{"x-secret: null", "x-secret: '1'", "want header x-secret"},
		{"server-timing: null", "server: null", "no rule removes it"},
		{"status: 503", "status: 200", "want status 200, and it is 503"},
		{"status: 403, policy: deny}}", "policy: allow}}", "want policies to say allow"},
		{"{closed: true, policy: deny}}", "{policy: allow}}", "want policies to say allow"},
		{"deployment/shop", "deployment/gone", "no pod of it"},
		{"outside,", "gateway/gone,", "there is no Gateway"},
	} {
		wrong := ""
		for _, r := range run(t, "testdata/requests.yaml", c[0], c[1]) {
			wrong += strings.Join(r.Wrong, "\n")
		}
		if !strings.Contains(wrong, c[2]) {
			t.Errorf("%q for %q: said %q", c[1], c[0], wrong)
		}
	}
}

// TestFilesThatCannotBeMeant: a mistake is an error with its line.
func TestFilesThatCannotBeMeant(t *testing.T) {
	for text, want := range map[string]string{
		"requests:\n- {from: a, url: 'http://b', want: {statsu: 4}}\n":                      "line 2: there is no field statsu",
		"requests:\n\n- {url: 'http://b', want: {status: 4}}\n":                             "line 3: from is missing",
		"requests:\n- {from: a, url: b, want: {status: 4}}\n":                               "line 2: the URL",
		"requests:\n- {from: a, url: 'http://b'}\n":                                         "want says nothing",
		"requests:\n- {from: a, url: 'http://b', want: {policy: maybe}}\n":                  "neither allow nor deny",
		"requests:\n- {from: a, url: 'http://b', want: {to: [{port: 3}]}}\n":                "either host or cluster",
		"requests:\n- {from: a, url: 'http://b', source: x, want: {status: 1}}\n":           "source",
		"requests:\n- {from: a, url: 'tcp://b:1', want: {path: /a}}\n":                      "a connection (tcp://) has neither",
		"requests:\n- {from: a, url: 'tcp://b:1', want: {status: 403}}\n":                   "a connection (tcp://) has neither",
		"requests:\n- {from: a, url: 'tcp://b:1', want: {answer: {a: b}}}\n":                "a connection (tcp://) has neither",
		"requests:\n- {from: a, url: 'tcp://b:1', headers: {a: b}, want: {closed: true}}\n": "has no headers",
		"name: x\n":     "no requests",
		"":              "no requests",
		"requests: [\n": "did not find",
		"name: x\n---\nrequests: " + strings.Repeat("- ", 3): "",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	many := "requests:\n" + strings.Repeat("- {from: a, url: 'http://b', want: {status: 404}}\n", maxRequests+1)
	if _, err := Parse([]byte(many)); err == nil {
		t.Error("too many requests are taken")
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/requests.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("requests: [{from: [], url: 3}]"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = Parse(text) })
}

// TestReports: every form tells of each request, and which are not as wanted.
func TestReports(t *testing.T) {
	list := run(t, "testdata/requests.yaml", "status: 308", "status: 301")
	var b bytes.Buffer
	if err := writeJUnit(&b, list); err != nil {
		t.Fatal(err)
	}
	var report junit
	if err := xml.Unmarshal(b.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if s := report.Suites; len(s) != 1 || report.Tests != len(list) || report.Failures != 1 || s[0].Cases[1].Failure == nil || s[0].Cases[0].Failure != nil {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := writeJSON(&b, list); err != nil {
		t.Fatal(err)
	}
	var said struct{ Requests, Failed int }
	if err := json.Unmarshal(b.Bytes(), &said); err != nil || said.Requests != len(list) || said.Failed != 1 {
		t.Errorf("%v %v", said, err)
	}
	b.Reset()
	if err := writeText(&b, list); err != nil || !strings.Contains(b.String(), "FAIL  GET http://web.default/old/x?a=1 (line 5)") || !strings.Contains(b.String(), "12 of 13 requests") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestCommand: the exit of the command says whether requests or files are wrong.
func TestCommand(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("requests:\n- {from: a, url: 'http://b', want: {status: 404}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want error
	}{
		{[]string{"testdata/requests.yaml"}, nil},
		{[]string{bad, "-f", "testdata/mesh.yaml"}, ErrFailed},
		{[]string{bad}, ErrNoTest},
		{[]string{"testdata/none.yaml"}, ErrNoTest},
		{[]string{"testdata/requests.yaml", "-o", "none"}, ErrNoTest},
		{[]string{"testdata/requests.yaml", "-f", "testdata/none"}, ErrNoTest},
		{[]string{"testdata/mesh.yaml"}, ErrNoTest},
	} {
		cmd := NewCommand()
		cmd.SetArgs(c.args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetOut(new(bytes.Buffer))
		if err := cmd.ExecuteContext(t.Context()); (err == nil) != (c.want == nil) || c.want != nil && !strings.Contains(err.Error(), c.want.Error()) {
			t.Errorf("%v: %v, want %v", c.args, err, c.want)
		}
	}
}
