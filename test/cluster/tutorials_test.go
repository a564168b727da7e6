package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// soon is how long a change may take on its way through the API server.
const soon = 20 * time.Second

// inject is `fairway inject -f -`, with the settings of the installed mesh.
func (s *suite) inject(t *testing.T, manifest string) string {
	t.Helper()
	params := filepath.Join(t.TempDir(), "injection.yaml")
	settings := s.kubectl(t, "get", "configmap", "-n", system, "fairway-injection", "-o", `jsonpath={.data.injection\.yaml}`)
	if err := os.WriteFile(params, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), s.fairway, "inject", "--params", params, "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fairway inject: %v: %s", err, said.String())
	}
	return string(out)
}

// both says that every pod of a namespace has a proxy and is ready with it.
func (s *suite) both(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, soon, "pods are 2/2", func() (any, bool) {
		out := s.kubectl(t, "get", "pods", "-n", namespace, "--no-headers", "--field-selector", "status.phase=Running")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		for _, line := range lines {
			if f := strings.Fields(line); len(f) < 2 || f[1] != "2/2" {
				return out, false
			}
		}
		return out, true
	})
}

func even(answers map[string]int, a, b string, least float64) bool {
	n := float64(answers[a] + answers[b])
	return len(answers) == 2 && float64(answers[a]) > least*n && float64(answers[b]) > least*n
}

func testTutorialA(t *testing.T, s *suite) {
	app, sleep := sample(t, "flaskapp/flaskapp.yaml"), sample(t, "flaskapp/sleep.yaml")
	rules := []string{sample(t, "flaskapp/destination-rule.yaml"), sample(t, "flaskapp/virtual-service-v2.yaml"), sample(t, "flaskapp/virtual-service-header.yaml")}
	defer s.remove(t, "default", append(rules, app, sleep, sample(t, "flaskapp/without-service.yaml"))...)
	s.apply(t, "default", s.inject(t, app))
	s.apply(t, "default", s.inject(t, sleep))
	s.rolledOut(t, "default")
	s.both(t, "default")
	const where = "http://flaskapp/env/version"
	expect := func(what string, ok func(map[string]int) bool, arguments ...string) {
		t.Helper()
		eventually(t, soon, what, func() (any, bool) {
			answers, err := s.ask(t.Context(), "default", 200, append(arguments, where)...)
			return fmt.Sprint(answers, err), err == nil && ok(answers)
		})
	}
	expect("v1 and v2, about half each", func(a map[string]int) bool { return even(a, "v1", "v2", 0.3) })

	s.apply(t, "default", s.inject(t, sample(t, "flaskapp/without-service.yaml")))
	if answers, err := s.ask(t.Context(), "default", 1, "http://nameless/env/version"); err == nil {
		t.Errorf("a Deployment without a Service was reached by a name: %v", answers)
	}
	s.apply(t, "default", rules[0])
	s.apply(t, "default", rules[1])
	expect("only v2", func(a map[string]int) bool { return only(a, "v2") })
	s.apply(t, "default", rules[2])
	expect("v1 with the header", func(a map[string]int) bool { return only(a, "v1") }, "-H", "x-version: v1")
	expect("v2 without", func(a map[string]int) bool { return only(a, "v2") })
}

// outside is a person's curl on the machine.
func outside(ctx context.Context, url, host string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

func testTutorialB(t *testing.T, s *suite) {
	app := sample(t, "kubia/kubia.yaml")
	rules := []string{sample(t, "kubia/gateway.yaml"), sample(t, "kubia/virtual-service.yaml"), sample(t, "kubia/destination-rule.yaml")}
	defer s.remove(t, "default", append(rules, app)...)
	s.apply(t, "default", s.inject(t, app))
	for _, r := range rules {
		s.apply(t, "default", r)
	}
	s.rolledOut(t, "default")
	at := s.nodePort(t, system, "istio-ingressgateway", 8080)
	eventually(t, soon, "half v1, of three pods, and half v2", func() (any, bool) {
		versions, pods := map[string]int{}, map[string]bool{}
		for range 200 {
			code, answer, err := outside(t.Context(), at, "anything.example")
			var version, pod string
			if n, _ := fmt.Sscanf(answer, "You've hit %s %s", &version, &pod); err != nil || n != 2 {
				return fmt.Sprint(code, answer, err), false
			}
			versions[version]++
			pods[version+" "+pod] = true
		}
		return fmt.Sprint(versions, pods), even(versions, "v1", "v2", 0.35) && len(pods) == 4
	})
	s.apply(t, "default", sample(t, "kubia/gateway-host.yaml"))
	eventually(t, soon, "only its own host", func() (any, bool) {
		other, _, err1 := outside(t.Context(), at, "other.example")
		right, answer, err2 := outside(t.Context(), at, "kubia.example")
		return fmt.Sprint(other, right, answer, err1, err2), other == http.StatusNotFound && right == http.StatusOK
	})
}

var (
	versionShown = regexp.MustCompile(`data-service="addedvalues" data-version="([^"]+)"`)
	buttonShown  = regexp.MustCompile(`id="style" data-state="([^"]+)"`)
)

// refresh loads the bank's page n times as a user and counts what it shows.
func refresh(ctx context.Context, base, user string, n int, what *regexp.Regexp) (map[string]int, error) {
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var cookies []*http.Cookie
	if user != "" {
		resp, err := client.PostForm(base+"/login", url.Values{"user": {user}})
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		cookies = resp.Cookies()
	}
	seen := map[string]int{}
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/productpage", nil)
		if err != nil {
			return nil, err
		}
		for _, c := range cookies {
			req.AddCookie(c)
		}
		resp, err := client.Do(req)
		if err != nil {
			return seen, err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return seen, err
		}
		shown := "nothing, " + resp.Status
		if found := what.FindSubmatch(b); found != nil {
			shown = string(found[1])
		}
		seen[shown]++
	}
	return seen, nil
}

func testTutorialD(t *testing.T, s *suite) {
	s.outsideWorld(t)
	app := sample(t, "bank/app.yaml")
	rules := []string{sample(t, "bank/gateway.yaml"), sample(t, "bank/destination-rules.yaml"), sample(t, "bank/addedvalues-by-user.yaml"), sample(t, "bank/serviceentry.yaml")}
	defer s.remove(t, "default", append(rules, app)...)
	s.kubectl(t, "label", "namespace", "default", "istio-injection=enabled", "--overwrite")
	defer s.kubectl(t, "label", "namespace", "default", "istio-injection-")
	s.apply(t, "default", app)
	s.rolledOut(t, "default")
	s.both(t, "default")
	s.apply(t, "default", rules[0])
	s.apply(t, "default", rules[1])
	base := s.nodePort(t, system, "istio-ingressgateway", 8080)
	expect := func(what, user string, n int, pattern *regexp.Regexp, ok func(map[string]int) bool) {
		t.Helper()
		eventually(t, 2*soon, what, func() (any, bool) {
			seen, err := refresh(t.Context(), base, user, n, pattern)
			return fmt.Sprint(seen, err), err == nil && ok(seen)
		})
	}
	expect("three versions in turn", "", 60, versionShown, func(m map[string]int) bool { return len(m) == 3 && m["v1"] > 0 && m["v2"] > 0 && m["v3"] > 0 })
	for _, rule := range []string{"bank/addedvalues-by-user.yaml", "bank/addedvalues-by-user-regex.yaml", "bank/addedvalues-by-cookie.yaml"} {
		s.apply(t, "default", sample(t, rule))
		expect(rule+": v3 for yunqi", "yunqi-01", 10, versionShown, func(m map[string]int) bool { return only(m, "v3") })
		expect(rule+": v2 for anna", "anna", 10, versionShown, func(m map[string]int) bool { return only(m, "v2") })
	}
	button := func(what, state string) {
		t.Helper()
		expect(what, "yunqi-01", 10, buttonShown, func(m map[string]int) bool { return only(m, state) })
	}
	button("the outside is reached by default", "enabled")
	s.apply(t, system, sample(t, "bank/registry-only.yaml"))
	button("REGISTRY_ONLY blocks", "disabled")
	s.apply(t, "default", rules[3])
	button("a ServiceEntry opens", "enabled")
	s.remove(t, "default", rules[3])
	button("without it, blocked again", "disabled")
	s.apply(t, system, sample(t, "bank/allow-any.yaml"))
	button("ALLOW_ANY opens", "enabled")
}

// outsideWorld is a pod without Service or proxy, of whose name only the
// cluster's DNS knows.
func (s *suite) outsideWorld(t *testing.T) {
	t.Helper()
	s.namespace(t, "outside", false)
	s.apply(t, "outside", `apiVersion: v1
kind: Pod
metadata: {name: gallery}
spec:
  containers: [{name: app, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, gallery]}]
`)
	s.kubectl(t, "wait", "-n", "outside", "pod/gallery", "--for=condition=Ready", "--timeout=60s")
	ip := s.kubectl(t, "get", "pod", "-n", "outside", "gallery", "-o", "jsonpath={.status.podIP}")
	names := s.kubectl(t, "get", "configmap", "-n", "kube-system", "coredns", "-o", "jsonpath={.data.Corefile}")
	names = regexp.MustCompile(`(?s)hosts \{.*?\}\n\s*`).ReplaceAllString(names, "")
	names = strings.Replace(names, "ready", "hosts {\n  "+ip+" styles.example.com\n  fallthrough\n}\nready", 1)
	patch := fmt.Sprintf(`{"data":{"Corefile":%q}}`, names)
	s.kubectl(t, "patch", "configmap", "-n", "kube-system", "coredns", "--type=merge", "-p", patch)
	s.kubectl(t, "rollout", "restart", "-n", "kube-system", "deployment/coredns")
	s.kubectl(t, "rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s")
}
