package operate

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
)

func read(t *testing.T, directory string) *Offline {
	t.Helper()
	o, err := ReadOffline(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// control is the real debug port over the offline mesh, with one proxy attached.
func control(t *testing.T, o *Offline, pod string) string {
	t.Helper()
	client := o.clientOf(o.Workload("default", pod))
	view, err := o.engine.Attach(context.Background(), &client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(view.Close)
	server := httptest.NewServer(debug.Handler(debug.Config{
		Findings: o.engine.Findings, Dump: o.engine.Dump, World: func() *mesh.World { return o.world },
		Proxies: func() []discovery.ProxyState {
			return []discovery.ProxyState{{Client: o.clientOf(o.Workload("default", pod))}}
		}, Ready: func() error { return nil },
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// run runs a command of the package.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	for _, c := range Commands() {
		if c.Name() == args[0] {
			var out strings.Builder
			c.SetArgs(args[1:])
			c.SetOut(&out)
			c.SetErr(&out)
			c.SilenceUsage, c.SilenceErrors = true, true
			err := c.ExecuteContext(t.Context())
			return out.String(), err
		}
	}
	t.Fatalf("there is no command %s", args[0])
	return "", nil
}

func TestConfigShowsWhatTheControlPlaneHolds(t *testing.T) {
	address := control(t, read(t, "testdata/mesh"), "client")
	for _, c := range []struct {
		section string
		want    []string
	}{
		{"listeners", []string{"virtualOutbound", "virtualInbound", "0.0.0.0_80", "routes 80", "10.96.0.11_5432", "outbound|5432||db.default.svc.cluster.local"}},
		{"routes", []string{"/split*", "75 outbound|80|v1|reviews.default.svc.cluster.local, 25 outbound|80|v2|", "virtual-service default/reviews, http[4]", "end-user = jason", "redirect"}},
		{"clusters", []string{"reviews.default.svc.cluster.local", "v2", "EDS", "destination-rule default/reviews", "PassthroughCluster"}},
		{"endpoints", []string{"10.244.0.3:9080", "10.244.0.4:9080", "HEALTHY", "eu/eu-1", "outbound|80|v1|", "none"}},
	} {
		out, err := run(t, "config", "client.default", c.section, "--debug-address", address)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.section, want, out)
			}
		}
	}
}

func TestConfigForPrograms(t *testing.T) {
	address := control(t, read(t, "testdata/mesh"), "client")
	out, err := run(t, "config", "client.default", "clusters", "-o", "json", "--debug-address", address)
	if err != nil {
		t.Fatal(err)
	}
	var d explain.Dump
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d) != 1 || d[snapshot.Cluster.String()]["outbound|80|v1|reviews.default.svc.cluster.local"] == nil {
		t.Errorf("not only clusters: %d types", len(d))
	}
	if out, err = run(t, "config", "client.default", "-o", "yaml", "--debug-address", address); err != nil || !strings.Contains(out, "\nlds:\n") {
		t.Errorf("no listeners in YAML: %v", err)
	}
}

func TestWhatCannotBeShownIsSaid(t *testing.T) {
	address := control(t, read(t, "testdata/mesh"), "client")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no such proxy":    {[]string{"config", "nobody.default", "--debug-address", address}, "no proxy"},
		"no such section":  {[]string{"config", "client.default", "secrets", "--debug-address", address}, "name one of"},
		"no such form":     {[]string{"config", "client.default", "-o", "xml", "--debug-address", address}, "table, json, yaml"},
		"no control plane": {[]string{"config", "client.default", "--debug-address", gone.URL}, "--debug-address"},
		"no status":        {[]string{"status", "--debug-address", gone.URL}, "--debug-address"},
	} {
		if _, err := run(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
