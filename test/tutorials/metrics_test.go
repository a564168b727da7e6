//go:build linux

package tutorials

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/demo"
	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/samples"
)

// window stands for Grafana's $__rate_interval: long enough for Envoy's histograms,
// which come every five seconds, and within the load.
const window = 30 * time.Second

// TestDashboards has a real Prometheus scrape a mesh, by the scrape configuration
// of samples/, and compares what the panels' queries return with what the client
// counted.
func TestDashboards(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip(demo.ErrNoPrometheus)
	}
	m := localtest.Mesh(t, func(c *local.Config) { c.Gateway = true })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	applyApp(ctx, t, m)
	base := startPrometheus(ctx, t, m)
	l := &load{mesh: m}
	// The first requests make the series, and Envoy's histograms come late.
	l.run(ctx, t, window+12*time.Second)
	p := &panels{base: base, at: l.ended.Add(-2 * time.Second), load: l}
	p.compareMesh(ctx, t)
	p.compareWorkload(ctx, t)
	p.compareTCP(ctx, t)
	p.everyQueryIsValid(ctx, t)
}

func applyApp(ctx context.Context, t *testing.T, m *local.Mesh) {
	t.Helper()
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-app, labels: {istio-injection: enabled}}\n"
	for _, manifest := range [][]byte{[]byte(namespace), read(t, "istio-app/app.yaml"), read(t, "istio-app/destination-rule.yaml"), read(t, "istio-app/half.yaml"), []byte(extra)} {
		if err := m.Apply(ctx, manifest); err != nil {
			t.Fatal(err)
		}
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := m.WaitReady(wait, "istio-app", "istio-system"); err != nil {
		t.Fatal(err)
	}
}

// extra is a TCP service: the name of its port does not call it HTTP.
const extra = `
apiVersion: v1
kind: Service
metadata: {name: raw, namespace: istio-app}
spec: {selector: {app: raw}, ports: [{name: tcp-raw, port: 7778}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: raw, namespace: istio-app}
spec:
  selector: {matchLabels: {app: raw}}
  template:
    metadata: {labels: {app: raw}}
    spec: {containers: [{name: app, image: ghcr.io/fairway-mesh/fairway:latest, args: [sample, flaskapp, --port, "7778"]}]}
`

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := samples.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// startPrometheus waits until all proxies are scraped.
func startPrometheus(ctx context.Context, t *testing.T, m *local.Mesh) (base string) {
	t.Helper()
	base, err := demo.StartPrometheus(ctx, m, 500*time.Millisecond)
	if errors.Is(err, demo.ErrNoPrometheus) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "Prometheus scrapes all proxies", func() bool {
		up, err := query(ctx, base, "count(up == 1)", time.Now())
		return err == nil && len(up) == 1 && up[0].value >= 5 // two versions, the client, the TCP service, the gateway
	})
	return base
}

func until(ctx context.Context, t *testing.T, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// request is one kind of request of the load.
type request struct {
	status, sent, received int
}

// kinds of requests, in turn: what a panel shows of them can be computed exactly.
var kinds = []request{{200, 30, 700}, {404, 30, 700}, {200, 30, 700}, {500, 30, 700}, {200, 30, 700}}

// delay puts durations into one bucket (50 to 100 ms) of the histogram.
const delay = 65 * time.Millisecond

// load asks at an even pace, and remembers.
type load struct {
	mesh *local.Mesh

	mu    sync.Mutex
	seen  []seen
	raw   []exchange
	ended time.Time
}

// seen is an answer as the client saw it.
type seen struct {
	status int
	at     time.Time // when it was complete
	took   time.Duration
}

// exchange is a TCP connection as the client saw it.
type exchange struct {
	at             time.Time // when it ended
	sent, received int
}

// pace is requests a second, and every fifth of it a TCP connection.
const pace = 100

func (l *load) run(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	pod, err := l.mesh.Pod("istio-app", "app=sleep")
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.mesh.HTTP(ctx, pod)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var tasks sync.WaitGroup
	tick := time.NewTicker(time.Second / pace)
	defer tick.Stop()
	for i := 0; time.Since(begun) < d; i++ {
		<-tick.C
		tasks.Go(func() { l.ask(ctx, t, client, kinds[i%len(kinds)]) })
		if i%5 == 0 {
			tasks.Go(func() { l.exchange(ctx, t, client) })
		}
	}
	tasks.Wait()
	l.ended = time.Now()
}

func (l *load) ask(ctx context.Context, t *testing.T, client *http.Client, r request) {
	address := fmt.Sprintf("http://flaskapp:7777/echo?delay=%s&status=%d&size=%d", delay, r.status, r.received)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(make([]byte, r.sent)))
	if err != nil {
		t.Error(err)
		return
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != r.status || len(body) != r.received {
		t.Errorf("%s: %s, %d bytes, %v", address, resp.Status, len(body), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, seen{resp.StatusCode, time.Now(), time.Since(began)})
}

// rate is requests a second with a status (0: any; 4: 4xx; 404), as the client
// counted them in the window that a panel looks at.
func (p *panels) rate(status int) float64 {
	n := 0
	for _, s := range p.inWindow() {
		if status == 0 || s.status == status || s.status/100 == status {
			n++
		}
	}
	return float64(n) / window.Seconds()
}

func (p *panels) inWindow() (out []seen) {
	for _, s := range p.load.seen {
		if !s.at.After(p.at) && s.at.After(p.at.Add(-window)) {
			out = append(out, s)
		}
	}
	return out
}

// buckets are the upper bounds of Istio's histograms, in milliseconds.
var buckets = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}

// around is what a panel may show for a quantile: a histogram knows only in which
// bucket a request fell, and the client is further away than the proxies. So: from
// the lower bound of the bucket of a quantile somewhat smaller to the upper bound
// of that of one somewhat greater.
func (p *panels) around(quantile float64) (low, high float64) {
	var took []float64
	for _, s := range p.inWindow() {
		took = append(took, float64(s.took)/float64(time.Millisecond))
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
	i, _ := slices.BinarySearch(buckets, at(quantile-0.05))
	j, _ := slices.BinarySearch(buckets, at(quantile+0.05))
	return buckets[max(0, i-1)], buckets[min(j, len(buckets)-1)]
}

// exchange speaks over a connection that is TCP for the proxies.
func (l *load) exchange(ctx context.Context, t *testing.T, client *http.Client) {
	conn, err := client.Transport.(*http.Transport).DialContext(ctx, "tcp", "raw:7778")
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	sent, err := io.WriteString(conn, "GET /echo?size=2000 HTTP/1.1\r\nHost: raw\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Error(err)
		return
	}
	received, err := io.Copy(io.Discard, conn)
	if err != nil || received < 2000 {
		t.Errorf("over TCP: %d bytes, %v", received, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw = append(l.raw, exchange{time.Now(), sent, int(received)})
}

// bytes are those a second that the client sent to, and received from, the TCP
// service in the window.
func (p *panels) bytes() (sent, received float64) {
	for _, e := range p.load.raw {
		if !e.at.After(p.at) && e.at.After(p.at.Add(-window)) {
			sent, received = sent+float64(e.sent), received+float64(e.received)
		}
	}
	return sent / window.Seconds(), received / window.Seconds()
}

// sample is one result of an instant query.
type sample struct {
	labels map[string]string
	value  float64
}

func query(ctx context.Context, base, expr string, at time.Time) ([]sample, error) {
	form := url.Values{"query": {expr}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	var out []sample
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, sample{r.Metric, value})
	}
	return out, nil
}

// dashboard is what this test reads of Grafana's JSON.
type dashboard struct {
	Title  string
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr, RefID, LegendFormat string }
	}
}

// panels asks the queries of dashboards.
type panels struct {
	base string
	at   time.Time
	load *load
}

func (p *panels) dashboard(t *testing.T, name string) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, name), &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// fill replaces Grafana's variables.
func fill(expr, workload, reporter string) string {
	return strings.NewReplacer("$__rate_interval", strconv.Itoa(int(window.Seconds()))+"s", "$namespace", "istio-app", "$workload", workload, "$reporter", reporter).Replace(expr)
}

// ask asks one query of one panel. where selects series by a label's value.
func (p *panels) ask(ctx context.Context, t *testing.T, d dashboard, title string, target int, workload, reporter string, where map[string]string) float64 {
	t.Helper()
	for _, panel := range d.Panels {
		if panel.Title != title {
			continue
		}
		got, err := query(ctx, p.base, fill(panel.Targets[target].Expr, workload, reporter), p.at)
		if err != nil {
			t.Errorf("%s, %s: %v", d.Title, title, err)
			return math.NaN()
		}
		sum, n := 0.0, 0
		for _, s := range got {
			fits := true
			for label, value := range where {
				fits = fits && s.labels[label] == value
			}
			if fits {
				sum += s.value
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s, %s: %d series fit %v of %v", d.Title, title, n, where, got)
		}
		return sum
	}
	t.Errorf("%s has no panel %q", d.Title, title)
	return math.NaN()
}

// same allows one percent.
func same(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 0.01*want) {
		t.Errorf("%s: the panel shows %.3f, the client counted %.3f", what, got, want)
	}
}

// between compares a quantile of durations. Proxies do not see all the time that
// the client does, so theirs may lie in the bucket below.
func (p *panels) between(t *testing.T, what string, got, quantile float64) {
	t.Helper()
	if low, high := p.around(quantile); !(got >= low/2 && got <= high) {
		t.Errorf("%s: the panel shows %.1f ms, the client measured %.1f to %.1f ms", what, got, low, high)
	}
}

// quantiles are those of the three queries of a panel of durations.
var quantiles = []float64{0.50, 0.90, 0.99}

func (p *panels) compareMesh(ctx context.Context, t *testing.T) {
	d := p.dashboard(t, "metrics/mesh-dashboard.json")
	one := func(title string) float64 { return p.ask(ctx, t, d, title, 0, "", "", nil) }
	all, bad := p.rate(0), p.rate(5)
	same(t, "mesh: request volume", one("Global Request Volume"), all)
	same(t, "mesh: success rate", one("Global Success Rate (non-5xx)"), 1-bad/all)
	same(t, "mesh: 4xx", one("4xxs"), p.rate(4))
	same(t, "mesh: 5xx", one("5xxs"), bad)
	const table = "HTTP and gRPC Workloads"
	sum := 0.0
	for _, w := range []string{"flaskapp-v1", "flaskapp-v2"} {
		where := map[string]string{"destination_service": "flaskapp.istio-app.svc.cluster.local", "destination_workload": w}
		sum += p.ask(ctx, t, d, table, 0, "", "", where)
		for target := 1; target <= 3; target++ {
			p.between(t, "mesh: latency of "+w, p.ask(ctx, t, d, table, target, "", "", where), quantiles[target-1])
		}
	}
	same(t, "mesh: requests of both versions", sum, all)
	service := map[string]string{"destination_service": "flaskapp.istio-app.svc.cluster.local"}
	same(t, "mesh: requests by service", p.ask(ctx, t, d, "Requests by Service", 0, "", "", service), all)
	p.between(t, "mesh: latency by service", p.ask(ctx, t, d, "Latency by Service", 1, "", "", service), 0.90)
	// 30 and 700 bytes lie in buckets of which the panel shows the middle.
	same(t, "mesh: request size", p.ask(ctx, t, d, "Request Size by Service", 0, "", "", service), (25+50)/2.0)
	same(t, "mesh: response size", p.ask(ctx, t, d, "Response Size by Service", 0, "", "", service), (500+1000)/2.0)
}

func (p *panels) compareWorkload(ctx context.Context, t *testing.T) {
	d := p.dashboard(t, "metrics/workload-dashboard.json")
	all, bad := p.rate(0), p.rate(5)
	for _, reporter := range []string{"destination", "source"} {
		both := "flaskapp-v1|flaskapp-v2"
		security := map[string]string{"destination": "mutual_tls", "source": "unknown"}[reporter]
		same(t, reporter+": incoming", p.ask(ctx, t, d, "Incoming Request Volume", 0, both, reporter, nil), all)
		same(t, reporter+": incoming success", p.ask(ctx, t, d, "Incoming Success Rate (non-5xx)", 0, both, reporter, nil), 1-bad/all)
		sum := 0.0
		for _, w := range []string{"flaskapp-v1", "flaskapp-v2"} {
			sum += p.ask(ctx, t, d, "Incoming Request Volume", 0, w, reporter, nil)
			for target, quantile := range quantiles {
				p.between(t, reporter+": duration of "+w, p.ask(ctx, t, d, "Request Duration", target, w, reporter, nil), quantile)
			}
		}
		same(t, reporter+": both versions", sum, all)
		from := map[string]string{"source_workload": "sleep"}
		for status, want := range map[string]float64{"200": p.rate(2), "404": p.rate(4), "500": bad} {
			same(t, reporter+": incoming "+status, p.ask(ctx, t, d, "Incoming Requests by Source and Response Code", 0, both, reporter,
				map[string]string{"source_workload": "sleep", "response_code": status, "connection_security_policy": security}), want)
		}
		same(t, reporter+": success by source", p.ask(ctx, t, d, "Incoming Success Rate by Source", 0, both, reporter, from), 1-bad/all)
		p.between(t, reporter+": duration by source", p.ask(ctx, t, d, "Incoming Request Duration by Source", 0, both, reporter, from), 0.50)
		same(t, reporter+": request size by source", p.ask(ctx, t, d, "Incoming Request Size by Source", 0, both, reporter, from), (25+50)/2.0)
		same(t, reporter+": response size by source", p.ask(ctx, t, d, "Incoming Response Size by Source", 0, both, reporter, from), (500+1000)/2.0)
	}
	to := map[string]string{"destination_service": "flaskapp.istio-app.svc.cluster.local"}
	out := func(title string, target int, where map[string]string) float64 {
		return p.ask(ctx, t, d, title, target, "sleep", "", where)
	}
	same(t, "outgoing 200", out("Outgoing Requests by Destination and Response Code", 0, map[string]string{"response_code": "200"}), p.rate(2))
	same(t, "outgoing success", out("Outgoing Success Rate by Destination", 0, to), 1-bad/all)
	p.between(t, "outgoing duration", out("Outgoing Request Duration by Destination", 0, to), 0.50)
	same(t, "outgoing request size", out("Outgoing Request Size by Destination", 0, to), (25+50)/2.0)
	same(t, "outgoing response size", out("Outgoing Response Size by Destination", 0, to), (500+1000)/2.0)
}

// compareTCP compares bytes. What the client sends is what the service's proxy receives.
func (p *panels) compareTCP(ctx context.Context, t *testing.T) {
	sent, received := p.bytes()
	d := p.dashboard(t, "metrics/mesh-dashboard.json")
	service := map[string]string{"destination_service": "raw.istio-app.svc.cluster.local", "destination_workload": "raw"}
	same(t, "mesh: TCP received", p.ask(ctx, t, d, "TCP Services", 0, "", "", service), sent)
	same(t, "mesh: TCP sent", p.ask(ctx, t, d, "TCP Services", 1, "", "", service), received)
	d = p.dashboard(t, "metrics/workload-dashboard.json")
	for _, reporter := range []string{"destination", "source"} {
		same(t, reporter+": TCP received", p.ask(ctx, t, d, "TCP Server Traffic", 0, "raw", reporter, nil), sent)
		same(t, reporter+": TCP sent", p.ask(ctx, t, d, "TCP Server Traffic", 1, "raw", reporter, nil), received)
		from := map[string]string{"source_workload": "sleep"}
		same(t, reporter+": TCP received by source", p.ask(ctx, t, d, "Incoming TCP Bytes Received by Source", 0, "raw", reporter, from), sent)
		same(t, reporter+": TCP sent by source", p.ask(ctx, t, d, "Incoming TCP Bytes Sent by Source", 0, "raw", reporter, from), received)
	}
	to := map[string]string{"destination_service": "raw.istio-app.svc.cluster.local"}
	same(t, "outgoing TCP received", p.ask(ctx, t, d, "Outgoing TCP Bytes Received by Destination", 0, "sleep", "", to), sent)
	same(t, "outgoing TCP sent", p.ask(ctx, t, d, "Outgoing TCP Bytes Sent by Destination", 0, "sleep", "", to), received)
}

// everyQueryIsValid asks all queries of both dashboards.
func (p *panels) everyQueryIsValid(ctx context.Context, t *testing.T) {
	for _, name := range []string{"metrics/mesh-dashboard.json", "metrics/workload-dashboard.json"} {
		d := p.dashboard(t, name)
		asked := 0
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				asked++
				if _, err := query(ctx, p.base, fill(target.Expr, "flaskapp-v1", "destination"), p.at); err != nil {
					t.Errorf("%s, %s: %v", d.Title, panel.Title, err)
				}
			}
		}
		if asked < 10 {
			t.Errorf("%s has only %d queries", name, asked)
		}
	}
}
