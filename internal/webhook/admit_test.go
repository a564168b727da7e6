package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// heavy are bodies of strangers, each by the number of its parts.
var heavy = []struct {
	what, path string
	object     func(n int) string
}{
	{"rules that say nothing", "/validate", func(n int) string {
		return virtualService(`"hosts":["a"],"http":[` + list(n, func(int) string { return `{}` }) + `]`)
	}},
	{"hosts", "/validate", func(n int) string {
		return virtualService(`"hosts":[` + list(n, func(i int) string { return fmt.Sprintf(`"h%x"`, i) }) + `],"http":[{"route":[{"destination":{"host":"a"}}]}]`)
	}},
	{"destinations", "/validate", func(n int) string {
		return virtualService(`"hosts":["a"],"http":[{"route":[` + list(n, func(i int) string { return fmt.Sprintf(`{"destination":{"host":"h%x"},"weight":1}`, i) }) + `]}]`)
	}},
	{"matches", "/validate", func(n int) string {
		return virtualService(`"hosts":["a"],"http":[` + list(n, func(i int) string {
			return fmt.Sprintf(`{"match":[{"uri":{"exact":"/%x"}}],"directResponse":{"status":200}}`, i)
		}) + `]`)
	}},
	{"unknown fields under a long name", "/validate", func(n int) string {
		return virtualService(`"hosts":["a"],"http":[{"match":[{"headers":{"` + strings.Repeat("x", 20*n) + `":{` + list(n, func(i int) string { return fmt.Sprintf(`"f%x":1`, i) }) + `}}}]}]`)
	}},
	{"regular expressions", "/validate", func(n int) string {
		return virtualService(`"hosts":["a"],"http":[{"match":[` + list(n, func(int) string { return `{"uri":{"regex":"((((a{1,10}){1,10}){1,10}))"}}` }) + `],"directResponse":{"status":200}}]`)
	}},
	{"lists within lists", "/validate", func(n int) string {
		return `{"apiVersion":"v1","kind":"List","metadata":{"name":"a"},"items":[` + strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, min(n, 40)) + list(n, func(int) string { return `{}` }) + strings.Repeat(`]}`, min(n, 40)) + `]}`
	}},
	{"subsets", "/validate", func(n int) string {
		return `{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"a"},"spec":{"host":"a","subsets":[` + list(n, func(i int) string { return fmt.Sprintf(`{"name":"v%x"}`, i) }) + `]}}`
	}},
	{"prefixes", "/inject", func(n int) string {
		return `{"metadata":{"name":"p","annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":"` +
			list(n, func(i int) string { return fmt.Sprintf("%d.%d.%d.7", 1+i>>16, i>>8&255, i&255) }) + `"}},"spec":{"containers":[{"name":"c"}]}}`
	}},
	{"containers", "/inject", func(n int) string {
		return `{"metadata":{"name":"p"},"spec":{"containers":[` + list(n, func(i int) string { return fmt.Sprintf(`{"name":"c%x"}`, i) }) + `]}}`
	}},
}

func list(n int, one func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = one(i)
	}
	return strings.Join(parts, ",")
}

func virtualService(spec string) string {
	return `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a"},"spec":{` + spec + `}}`
}

// TestHeavyBodies: whatever a body holds, answering takes memory in proportion to its
// size, and so little time that the deadline is not met.
func TestHeavyBodies(t *testing.T) {
	for _, c := range heavy {
		for _, n := range []int{1000, 4000, 16_000, 64_000} {
			resource := "networking.istio.io/virtualservices"
			if c.path == "/inject" {
				resource = "pods"
			}
			body := reviewOf(resource, "shop", "CREATE", c.object(n))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			status, _, text := ask(t, c.path, "application/json", body)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			bytes := after.TotalAlloc - before.TotalAlloc
			t.Logf("%s × %d: %d bytes of body, %d allocated (%d a byte), %v, status %d", c.what, n, len(body), bytes, bytes/uint64(len(body)), took, status)
			if limit := uint64(len(body)*500 + min(n, 5000)*(6<<10) + 8<<20); bytes > limit {
				t.Errorf("%s × %d: %d bytes for a body of %d", c.what, n, bytes, len(body))
			}
			if status == http.StatusServiceUnavailable {
				t.Errorf("%s × %d: no answer in time: %s", c.what, n, text)
			}
			if len(text) > 64<<10 && c.path == "/validate" {
				t.Errorf("%s × %d: the answer has %d bytes", c.what, n, len(text))
			}
		}
	}
}

// blocked serves reviews that are answered when the test says so, and tells of each that
// has begun.
type blocked struct {
	*admission
	begun   chan string         // uid
	allow   map[string]chan any // by uid
	handler http.Handler
}

func newBlocked(uids ...string) *blocked {
	b := &blocked{admission: newAdmission(), begun: make(chan string, 100), allow: map[string]chan any{}}
	for _, u := range uids {
		b.allow[u] = make(chan any)
	}
	b.handler = b.review(quiet(), func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		b.begun <- string(r.UID)
		select {
		case <-b.allow[string(r.UID)]:
		case <-ctx.Done():
		}
		return allowed()
	})
	return b
}

// post asks, and returns where the status comes.
func (b *blocked) post(ctx context.Context, from, uid string, size int) <-chan int {
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": map[string]any{"uid": uid, "name": strings.Repeat("x", size)}})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/validate", bytes.NewReader(body))
	r.RemoteAddr = from + ":1"
	r.Header.Set("Content-Type", "application/json")
	status := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		status <- w.Code
	}()
	return status
}

// waits holds until so many wait in a lane.
func (b *blocked) waits(t *testing.T, lane, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d wait", n), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.lanes[lane].waiting == n
	})
}

// TestTurns: small reviews go on while a large one works, the large ones of addresses
// take turns, and who has hung up is not worked for.
func TestTurns(t *testing.T) {
	uids := []string{"large", "a1", "a2", "b1"}
	for i := range 2 * smallAtOnce {
		uids = append(uids, fmt.Sprint("small", i))
	}
	b := newBlocked(uids...)
	large := b.post(t.Context(), "10.0.0.1", "large", 2*small)
	if got := <-b.begun; got != "large" {
		t.Fatal(got)
	}
	for i := range 2 * smallAtOnce {
		uid := fmt.Sprint("small", i)
		close(b.allow[uid])
		if status := <-b.post(t.Context(), "10.0.0.1", uid, 10); status != http.StatusOK {
			t.Errorf("a small one beside a large one: %d", status)
		}
		<-b.begun
	}
	gone, hangUp := context.WithCancel(t.Context())
	var later []<-chan int
	for i, p := range []struct{ from, uid string }{{"10.0.0.1", "a1"}, {"10.0.0.1", "gone"}, {"10.0.0.1", "a2"}, {"10.0.0.2", "b1"}} {
		ctx := t.Context()
		if p.uid == "gone" {
			ctx = gone
		}
		later = append(later, b.post(ctx, p.from, p.uid, 2*small))
		b.waits(t, 1, i+1)
	}
	hangUp()
	if status := <-later[1]; status != http.StatusServiceUnavailable {
		t.Errorf("who hung up: %d", status)
	}
	close(b.allow["large"])
	if status := <-large; status != http.StatusOK {
		t.Errorf("the large one: %d", status)
	}
	for _, uid := range []string{"a1", "b1", "a2"} {
		if got := <-b.begun; got != uid {
			t.Errorf("it is the turn of %s, want %s", got, uid)
		}
		close(b.allow[uid])
	}
	for _, i := range []int{0, 2, 3} {
		if status := <-later[i]; status != http.StatusOK {
			t.Errorf("%d: %d", i, status)
		}
	}
	if len(b.held) > 0 || b.all != 0 || b.lanes[1].waiting != 0 || b.lanes[1].free != largeAtOnce || b.lanes[0].free != smallAtOnce {
		t.Errorf("something is held when all is answered: %+v", b.admission)
	}
}

// TestHeldIsBounded: one address holds no more than its part, and nobody more than all.
func TestHeldIsBounded(t *testing.T) {
	a := newAdmission()
	var releases []func()
	holds := func(address string) (n int) {
		for {
			release, err := a.hold(address, MaxRequest)
			if err != nil {
				return n
			}
			releases = append(releases, release)
			n++
		}
	}
	if n := holds("10.0.0.1"); n != maxHeldEach/MaxRequest {
		t.Errorf("one address holds %d bodies", n)
	}
	n := 0
	for i := range 20 {
		n += holds(fmt.Sprint("10.0.1.", i))
	}
	if want := maxHeld/MaxRequest - maxHeldEach/MaxRequest; n != want {
		t.Errorf("the others hold %d bodies, want %d", n, want)
	}
	for _, r := range releases {
		r()
	}
	if a.all != 0 || len(a.held) != 0 {
		t.Errorf("%d bytes are held when none is: %v", a.all, a.held)
	}
}

// TestDeadlineEndsTheWork: the time that the API server gives is the request's.
func TestDeadlineEndsTheWork(t *testing.T) {
	b := newBlocked()
	b.allow["late"] = make(chan any)
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"late"}}`
	r := httptest.NewRequest(http.MethodPost, "/validate?timeout=50ms", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), errLate.Error()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
