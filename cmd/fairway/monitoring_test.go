package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/test/faults"
	"github.com/fairway-mesh/fairway/test/wire"
)

// monitor is a Prometheus that scrapes a control plane and judges the chart's
// alerts about it.
type monitor struct {
	*testing.T
	address string
}

const monitoring = "../../charts/fairway/monitoring/"

func newMonitor(t *testing.T, p *plane) *monitor {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not in PATH (Debian: apt-get install prometheus)")
	}
	alerts, err := filepath.Abs(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [%q]\nscrape_configs: [{job_name: fairway, static_configs: [{targets: [%q]}]}]\n", alerts, p.debug)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &monitor{T: t, address: lasting(t)}
	cmd := exec.Command(program, "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", m.address, "--log.level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p.await("Prometheus scrapes", time.Minute, func() bool { n, err := m.ask("fairway_xds_proxies"); return err == nil && n == 1 })
	return m
}

// get reads the answer to a request of Prometheus' API.
func (m *monitor) get(path string, into any) error {
	r, err := http.Get("http://" + m.address + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// ask is how many series a query has.
func (m *monitor) ask(expr string) (int, error) {
	var data struct{ Result []any }
	err := m.get("/api/v1/query?query="+url.QueryEscape(expr), &data)
	return len(data.Result), err
}

// quietQueries have no series while all is well.
var quietQueries = []string{"fairway_view_relists_total", "fairway_xds_bound_reached_total"}

// TestMonitoring has a real Prometheus scrape a control plane, and asks each query of the
// dashboard. While all is well each has an answer and no alert is raised.
// In its long form the API server is lost, and the alert is raised and ends.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	s := sharedWorld(t)
	link, err := faults.Start(s.REST)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	p := newPlane(t, link.REST())
	p.env = []string{"GOMEMLIMIT=1GiB"}
	p.start()
	p.await("ready", soon, p.ready)
	sidecar, gateway := follow(t, p, sidecarNode, nil), follow(t, p, gatewayNode, nil)
	p.await("both proxies have all", soon, func() bool { return complete(sidecar, gateway) })
	m := newMonitor(t, p)
	time.Sleep(2 * time.Second) // some scrapes for rates

	text, err := os.ReadFile(monitoring + "control-plane-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			asked++
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "10s")
			n, err := m.ask(expr)
			silent := false
			for _, q := range quietQueries {
				silent = silent || strings.Contains(expr, q)
			}
			if err != nil || n == 0 != silent {
				t.Errorf("%s: %s has %d series: %v", panel.Title, expr, n, err)
			}
		}
	}
	if asked < 20 {
		t.Errorf("the dashboard has %d queries", asked)
	}
	m.rules()
	const raised = `ALERTS`
	if n, err := m.ask(raised); err != nil || n != 0 {
		t.Errorf("%d alerts while all is well: %v", n, err)
	}
	const refused = `ALERTS{alertname="FairwayProxiesRefuse"}`
	refuse(t, p)
	p.await("a refusal is on its way to an alert", soon, func() bool { n, err := m.ask(refused); return err == nil && n == 1 })
	if !faults.Long() {
		return
	}
	const stale = `ALERTS{alertname="FairwayViewStale", alertstate="firing"}`
	link.Link(faults.Hangs)
	p.await("the alert is raised", 4*time.Minute, func() bool { n, err := m.ask(stale); return err == nil && n > 0 })
	link.Link(faults.Passes)
	p.await("the alert ends", 2*time.Minute, func() bool { n, err := m.ask(raised); return err == nil && n == 0 })
}

// refuse has a proxy refuse a cluster until the test ends.
func refuse(t *testing.T, p *plane) {
	t.Helper()
	c := wire.New(wire.Options{NodeID: "sidecar~10.10.1.9~picky-0.shop~shop.svc.cluster.local", Delta: true, OnResponse: func(r wire.Response) error {
		for _, put := range r.Put {
			if name := "outbound|8080|v1|web.shop.svc.cluster.local"; put.Name == name {
				return fmt.Errorf("Error adding/updating cluster(s) %s: nonsense", name)
			}
		}
		return nil
	}})
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(t.Context(), p.xds) }()
	t.Cleanup(func() { <-done })
}

// rules makes sure that Prometheus evaluates all rules.
func (m *monitor) rules() {
	m.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := m.get("/api/v1/rules", &data); err != nil {
		m.Fatal(err)
	}
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				m.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n == 0 {
		m.Error("there are no rules")
	}
}
