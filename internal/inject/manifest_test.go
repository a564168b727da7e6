package inject

import "testing"

// TestPodsThatReadTheirAddress: a Pod that is told its address, and one beside another that
// runs, are no Pods that run.
func TestPodsThatReadTheirAddress(t *testing.T) {
	const fresh = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","env":[{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}]}]}}`
	const running = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c"}]},"status":{"podIP":"10.0.0.1"}}`
	for document, want := range map[string]string{
		fresh:   "",
		running: "none",
		`{"apiVersion":"v1","kind":"List","items":[` + running + `,` + fresh + `]}`: "items[1]",
	} {
		got := Templates([]byte(document))
		if want == "none" && len(got) != 0 || want != "none" && (len(got) != 1 || got[0].Path != want || got[0].Name != "a") {
			t.Errorf("%s: %+v, want at %q", document, got, want)
		}
	}
}
