package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// TestHistoryOfFiles: a control plane that reads a directory tells what became of a change,
// and keeps nothing of Secrets.
func TestHistoryOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const key = "c2VjcmV0LWtleQ=="
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: certificate, namespace: shop}\ntype: kubernetes.io/tls\ndata: {tls.crt: bm9uZQ==, tls.key: " + key + "}\n"
	write("shop.yaml", shop)
	p := &plane{T: t, xds: lasting(t), debug: lasting(t)}
	p.command = func() *exec.Cmd {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "serve", "--config", dir, "--ca-directory", t.TempDir(), "--xds-address", p.xds, "--secure-xds-address", "", "--debug-address", p.debug)
		cmd.Env = append(os.Environ(), beProgram+"=1")
		return cmd
	}
	t.Cleanup(p.kill)
	p.start()
	p.await("ready", time.Minute, p.ready)
	f := follow(t, p, sidecarNode, nil)
	const cluster = "outbound|8080||web.shop.svc.cluster.local"
	p.await("the proxy has all", time.Minute, func() bool { return f.holds()[snapshot.Endpoint][cluster] != "" })

	history := func(args ...string) string {
		t.Helper()
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append([]string{"history", "--debug-address", p.debug}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("history %q: %v\n%s", args, err, out.String())
		}
		return out.String()
	}
	says := func(want []string, args ...string) {
		t.Helper()
		said := ""
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			said = history(args...)
			if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(said, w) }) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("history %q says\n%s\nwant %q", args, said, want)
			}
		}
	}
	write("secret.yaml", secret)
	says([]string{"Secret shop/certificate", "it concerns no proxy"}, "-n", "shop", "secret/certificate")
	write("shop.yaml", strings.Replace(shop, "http: [{route", "http: [{timeout: 7s, route", 1))
	says([]string{"VirtualService shop/web", "changed", "  1  ", "  in "}, "-n", "shop", "vs/web")
	says([]string{"1 proxy of shop/client-0", "changed  virtual host 8080/web.shop.svc.cluster.local"}, "-n", "shop", "vs/web", "-o", "wide")
	says([]string{"VirtualService shop/web"}, "-n", "shop", "deploy/client-0", "--since", "10m")
	write("astray.yaml", "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: astray, namespace: shop}\nspec: {hosts: [astray.example], http: [{route: [{destination: {host: nowhere.example}}]}]}\n")
	says([]string{"finding came", "nowhere.example"}, "-n", "shop", "virtualservice/astray")
	if err := os.Remove(filepath.Join(dir, "astray.yaml")); err != nil {
		t.Fatal(err)
	}
	says([]string{"VirtualService shop/astray (deleted)", "finding went"}, "-n", "shop", "virtualservice/astray")
	if said := history("-n", "elsewhere"); strings.Contains(said, "shop/astray") {
		t.Errorf("another namespace: %s", said)
	}
	code, page := p.page("/debug/historyz")
	if code != 200 || !strings.Contains(page, "shop") || strings.Contains(page, key) || strings.Contains(page, "secret-key") {
		t.Errorf("%d %s", code, page)
	}
	if code, body := p.page("/debug/historyz?since=never"); code != 400 {
		t.Errorf("%d %s", code, body)
	}
}
