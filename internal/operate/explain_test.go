package operate

import (
	"strings"
	"testing"
)

func TestExplainTellsRuleEndpointsAndFindings(t *testing.T) {
	address := control(t, read(t, "testdata/mesh"), "client")
	out, err := run(t, "explain", "client.default", "http://reviews/reviews/1", "-H", "end-user: jason", "--debug-address", address)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.0.0.0_80", "virtual-service default/reviews, http[0]", "outbound|80|v2|reviews.default.svc.cluster.local", "10.244.0.4:9080 in eu/eu-1",
		"What is known of the objects on the way:", "VirtualService default/reviews", "v9"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// The database is found by its address, which only the mesh knows.
	if out, err = run(t, "explain", "client.default", "tcp://db:5432", "--debug-address", address); err != nil || !strings.Contains(out, "10.96.0.11_5432") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, bad := range []string{"--header=x", "--source-ip=x", "--destination-ip=x"} {
		if _, err := run(t, "explain", "client.default", "http://reviews", bad, "--debug-address", address); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestExplainFrom: a workload is named as kubectl names it.
func TestExplainFrom(t *testing.T) {
	address := control(t, read(t, "testdata/mesh"), "client")
	for from, want := range map[string]string{
		"deploy/client": "80/reviews.default.svc.cluster.local", "pod/client.default": "80/reviews.default.svc.cluster.local", "deploy/nobody": "no proxy of deploy/nobody", "service/client": "is no workload", "client": "is no workload",
	} {
		out, err := run(t, "explain", "-n", "default", "--from", from, "http://reviews/", "--debug-address", address)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s", from, out)
		}
	}
	if _, err := run(t, "explain", "--from", "deploy/client", "client", "http://reviews/", "--debug-address", address); err == nil {
		t.Error("a pod and a workload")
	}
}
