package operate

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a file with the text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const split = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other, namespace: default}
spec:
  hosts: [ratings.example]
  http: [{timeout: 3s, route: [{destination: {host: reviews}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 7s}}}
  subsets: [{name: v1, labels: {version: v1}}]
`

func TestDiffTellsWhatWouldChange(t *testing.T) {
	out, err := run(t, "diff", "-f", written(t, split), "--config", "testdata/mesh")
	if !errors.Is(err, ErrDiffers) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"prox", "client.default",
		"added    virtual host 80/ratings.example", "(VirtualService default/other)",
		"changed  cluster outbound|80||reviews.default.svc.cluster.local", "+connectTimeout: 7s",
		"removed  cluster outbound|80|v2|reviews.default.svc.cluster.local",
		"Findings that would come:", "v2",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "timeout: 3s") {
		t.Error("what is added is shown whole, unasked")
	}
	if out, _ = run(t, "diff", "-f", written(t, split), "--config", "testdata/mesh", "--whole"); !strings.Contains(out, "timeout: 3s") {
		t.Errorf("what is added is not shown whole:\n%s", out)
	}
}

func TestDiffForPrograms(t *testing.T) {
	out, err := run(t, "diff", "-f", written(t, split), "--config", "testdata/mesh", "-o", "json")
	if !errors.Is(err, ErrDiffers) {
		t.Fatal(err)
	}
	var d differing
	if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Differences) == 0 || len(d.Differences[0].Proxies) == 0 || len(d.Come) == 0 {
		t.Errorf("%v: %+v", err, d)
	}
}

func TestDiffOfTheSame(t *testing.T) {
	out, err := run(t, "diff", "-f", "testdata/mesh", "--config", "testdata/mesh")
	if err != nil || !strings.Contains(out, "Nothing would change") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDiffOfConnectedProxies compares only those that the control plane serves.
func TestDiffOfConnectedProxies(t *testing.T) {
	o := read(t, "testdata/mesh")
	address := control(t, o, "client")
	rules := written(t, split)
	out, err := run(t, "diff", "-f", rules, "--config", "testdata/mesh", "--debug-address", address)
	if !errors.Is(err, ErrDiffers) || !strings.Contains(out, "1 proxy: client.default\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDiffThatCannotBeTold(t *testing.T) {
	for name, c := range map[string][]string{
		"no such file":     {"-f", "testdata/nowhere.yaml", "--config", "testdata/mesh"},
		"nothing in it":    {"-f", written(t, "# nothing\n"), "--config", "testdata/mesh"},
		"no such mesh":     {"-f", "testdata/mesh", "--config", "testdata/nowhere"},
		"no such cluster":  {"-f", "testdata/mesh", "--kubeconfig", "testdata/nowhere"},
		"no such form":     {"-f", written(t, split), "--config", "testdata/mesh", "-o", "xml"},
		"no control plane": {"-f", "testdata/mesh", "--config", "testdata/mesh", "--debug-address", "127.0.0.1:1"},
	} {
		if _, err := run(t, append([]string{"diff"}, c...)...); !errors.Is(err, ErrNotCompared) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
