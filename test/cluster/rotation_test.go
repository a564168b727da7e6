package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testRotation replaces what proxies hold: their certificates at half of their
// life, the root that signs them, and the tokens that they show. No request fails
// and no stream ends.
func testRotation(t *testing.T, s *suite) {
	pod := s.anyPod(t, shopping, "app=shop").Name
	before := s.streams(t)
	if before[pod+"."+shopping] == "" {
		t.Fatalf("%s is not connected: %v", pod, before)
	}
	s.load.during(t, "certificates are replaced at half of their life", func() {
		for range 2 {
			was := s.serial(t, pod)
			eventually(t, 2*shortLived, "another certificate", func() (any, bool) {
				now := s.serial(t, pod)
				return now, now != was
			})
		}
	})
	s.load.during(t, "the root is replaced", func() {
		const overlap = 30 * time.Second // the kubelets here tell pods within some 15 s
		out := s.kubectl(t, "exec", "-n", system, "deploy/fairway", "--", "fairway", "ca", "rotate", "--overlap", overlap.String())
		roots := regexp.MustCompile(`(?m)^([0-9a-f]{16}) .*(now|from .*)$`).FindAllStringSubmatch(out, -1)
		if len(roots) != 2 || strings.Count(out, " now") != 1 {
			t.Fatalf("after `fairway ca rotate`:\n%s", out)
		}
		next := roots[0][1]
		if roots[0][2] == "now" {
			next = roots[1][1]
		}
		eventually(t, overlap+3*soon, "the new root signs", func() (any, bool) {
			out, err := s.Kubectl(t.Context(), "", "exec", "-n", system, "deploy/fairway", "--", "fairway", "ca")
			return fmt.Sprint(out, err), regexp.MustCompile(`(?m)^`+next+` .* now$`).MatchString(out) && strings.Contains(out, "no more")
		})
		was := s.serial(t, pod)
		eventually(t, 2*shortLived, "a certificate of the new root", func() (any, bool) {
			now := s.serial(t, pod)
			return now, now != was
		})
	})
	after := s.streams(t)
	for proxy, since := range before {
		if strings.HasSuffix(proxy, "."+shopping) && after[proxy] != since {
			t.Errorf("the stream of %s began %s, it was of %s", proxy, after[proxy], since)
		}
	}
	s.newTokens(t)
	s.noKeys(t, s.anyPod(t, shopping, "app=shop"))
}

// newTokens restarts the kubelets, which then ask for other tokens, and then the
// control planes, to which proxies have to show them.
func (s *suite) newTokens(t *testing.T) {
	was := s.tokens(t)
	s.load.during(t, "tokens are replaced", func() {
		for node := range s.Nodes {
			if err := s.RestartKubelet(t.Context(), node); err != nil {
				t.Fatal(err)
			}
		}
		for file, old := range was {
			eventually(t, 3*soon, "another token in "+file, func() (any, bool) {
				b, err := os.ReadFile(file)
				return err, err == nil && string(b) != old
			})
		}
		s.restart(t, system, "fairway")
	})
	eventually(t, 3*soon, "all proxies are back", func() (any, bool) {
		now := s.streams(t)
		return now, len(now) >= 5
	})
}

// tokens are those of the pods under load, by file on this machine; none where
// the nodes' files are out of reach.
func (s *suite) tokens(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, err := s.client.CoreV1().Pods(shopping).List(t.Context(), listOptions("app=shop"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(s.Kubeconfig), "*/kubelet/pods", string(pod.UID), "volumes/kubernetes.io~projected/fairway-credentials/token"))
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil {
				out[f] = string(b)
			}
		}
	}
	if len(out) == 0 {
		t.Log("tokens are not compared: the nodes' files are out of reach")
	}
	return out
}

// serial is that of the certificate that the proxy of a pod holds.
func (s *suite) serial(t *testing.T, pod string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), "", "exec", "-n", shopping, pod, "-c", "app", "--", "fairway", "sample", "get", "http://127.0.0.1:15000/certs")
	if err != nil {
		t.Fatal(err)
	}
	var held struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
			} `json:"cert_chain"`
		}
	}
	if err := json.Unmarshal([]byte(out), &held); err != nil {
		t.Fatalf("reading /certs: %v: %s", err, out)
	}
	for _, c := range held.Certificates {
		if len(c.Chain) > 0 {
			return c.Chain[0].Serial
		}
	}
	t.Fatalf("the proxy of %s holds no certificate: %s", pod, out)
	return ""
}

// streams are when the streams of connected proxies began, by pod and namespace.
func (s *suite) streams(t *testing.T) map[string]string {
	t.Helper()
	pages, err := s.pages(context.WithoutCancel(t.Context()), "/debug/syncz")
	if err != nil {
		t.Log("asking who is connected: ", err)
	}
	out := map[string]string{}
	for _, page := range pages {
		var list []struct {
			Proxy string
			Since string `json:"connectedSince"`
		}
		if err := json.Unmarshal([]byte(page), &list); err != nil {
			t.Fatalf("reading /debug/syncz: %v: %s", err, page)
		}
		for _, p := range list {
			out[p.Proxy] = p.Since
		}
	}
	return out
}
