package bootstrap

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRender: whatever people say of a proxy, they get an error or a
// configuration that can be read back and names the proxy as the control plane
// takes names apart.
func FuzzRender(f *testing.F) {
	for _, seed := range [][6]string{
		{"sidecar", "web-1", "default", "10.0.0.7", "127.0.0.1:15010", "app=web"}, {"router", "$(POD_NAME)", "$(POD_NAMESPACE)", "$(INSTANCE_IP)", "fairway.istio-system:15012", "a=$(B)"},
		{"", "a", "b", "fd00::1", "[::1]:15010", ""}, {"waypoint", "a", "b", "c", "d", "="}, {"sidecar", "a~b", "b", "10.0.0.1", "a:0", "a"}, {"sidecar", "\"", "{}", "::ffff:10.0.0.1", "a:1", "a=\x00"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], true)
	}
	f.Fuzz(func(t *testing.T, role, pod, namespace, ip, address, label string, plaintext bool) {
		labels, err := parseLabels(strings.Split(label, ","))
		if err != nil {
			labels = nil
		}
		c := Config{Role: Role(role), Pod: pod, Namespace: namespace, IP: ip, XDSAddress: address, Plaintext: plaintext, Labels: labels, Stats: Stats{Prefixes: []string{label}}}
		text, err := JSON(c)
		if err != nil {
			return
		}
		if _, err := YAML(c); err != nil {
			t.Errorf("JSON can say it, YAML cannot: %v", err)
		}
		var b struct {
			Node struct {
				ID string `json:"id"`
			} `json:"node"`
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatalf("it is no JSON: %v\n%s", err, text)
		}
		if parts := strings.Split(b.Node.ID, "~"); len(parts) != 4 {
			t.Errorf("the node is called %q", b.Node.ID)
		}
	})
}
