package operate

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
)

// deaf is an address that refuses connections.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestWhomCommandsAsk: the address that is named, or where somebody listens at the default;
// else the cluster of the kubeconfig.
func TestWhomCommandsAsk(t *testing.T) {
	asked := 0
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pods") {
			asked++
		}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer cluster.Close()
	port := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`[{"proxy":"a.b"}]`)) }))
	defer port.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: x, cluster: {server: " + cluster.URL + "}}]\nusers: [{name: x, user: {}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\ncurrent-context: x\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		standard string // the address that the command has by itself
		env      string // $KUBECONFIG
		args     []string
		cluster  bool
		ok       bool
	}{
		"somebody listens":              {standard: port.URL, env: kubeconfig, ok: true},
		"nobody listens":                {standard: deaf(t), env: kubeconfig, cluster: true},
		"nobody listens, no cluster":    {standard: deaf(t), env: "/nonexistent"},
		"an address is named":           {standard: deaf(t), env: kubeconfig, args: []string{"--debug-address", port.URL}, ok: true},
		"nobody listens where is named": {standard: port.URL, env: kubeconfig, args: []string{"--debug-address", deaf(t)}},
		"a cluster is named":            {standard: port.URL, env: "/nonexistent", args: []string{"--kubeconfig", kubeconfig}, cluster: true},
	} {
		t.Setenv("KUBECONFIG", c.env)
		t.Setenv("HOME", t.TempDir())
		asked = 0
		var p plane
		var list []debug.Proxy
		cmd := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true}
		cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
			list, err = p.proxies(cmd.Context())
			return err
		}
		p.flags(cmd)
		p.address = c.standard
		cmd.SetArgs(c.args)
		err := cmd.ExecuteContext(t.Context())
		if (err == nil) != c.ok || (asked > 0) != c.cluster || c.ok && (len(list) != 1 || list[0].ID != "a.b") {
			t.Errorf("%s: %v, %v, the cluster was asked %d times", name, list, err, asked)
		}
	}
}

// TestNamesOfProxies: a pod is named with its namespace, or in the one that is chosen.
func TestNamesOfProxies(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: x, cluster: {server: http://127.0.0.1:1}}]\nusers: [{name: x, user: {}}]\ncontexts: [{name: x, context: {cluster: x, user: x, namespace: shop}}]\ncurrent-context: x\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	for _, c := range []struct{ env, namespace, pod, want string }{
		{kubeconfig, "", "web-0", "web-0.shop"},
		{kubeconfig, "", "web-0.other", "web-0.other"},
		{kubeconfig, "other", "web-0", "web-0.other"},
		{kubeconfig, "other", "web-0.other", "web-0.other"},
		{kubeconfig, "other", "web.0", "web.0.other"},
		{"/nonexistent", "other", "web-0", "web-0.other"},
		{"/nonexistent", "", "web-0.other", "web-0.other"},
	} {
		t.Setenv("KUBECONFIG", c.env)
		p := plane{namespace: c.namespace}
		if got := p.named(c.pod); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestStatusIsWatched: --watch says it again until it is told to stop, -n lists one namespace.
func TestStatusIsWatched(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	port := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/debug/syncz":
			if asked++; asked == 2 {
				cancel()
			}
			_, _ = w.Write([]byte(`[{"proxy":"a.shop"},{"proxy":"b.other"}]`))
		default:
			_, _ = w.Write([]byte(`[]`))
		}
	}))
	defer port.Close()
	cmd := newStatusCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs([]string{"--debug-address", port.URL, "-n", "shop", "-o", "json", "--watch"})
	_ = cmd.ExecuteContext(ctx) // which ends in the middle of the second look
	if asked != 2 || strings.Count(out.String(), "a.shop") < 1 || strings.Contains(out.String(), "b.other") {
		t.Errorf("asked %d times, said %s", asked, out.String())
	}
}
