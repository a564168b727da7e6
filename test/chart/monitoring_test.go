package chart_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// alert is one rule of monitoring/alerts.yaml.
type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alerts are those that the chart renders.
func alerts(t *testing.T) (text []byte, list []alert) {
	t.Helper()
	out := helm(t, "template", "fairway", prepared(t), "-n", "mesh", "--kube-version", kubernetesVersion, "--show-only", "templates/monitoring.yaml",
		"--set", "monitoring.alerts.enabled=true", "--set", "monitoring.alerts.labels.release=prometheus")
	var rule struct {
		Kind     string
		Metadata struct {
			Namespace string
			Labels    map[string]string
		}
		Spec struct {
			Groups []struct {
				Name  string
				Rules []alert
			}
		}
	}
	if err := yaml.Unmarshal([]byte(out), &rule); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if rule.Kind != "PrometheusRule" || rule.Metadata.Namespace != "mesh" || rule.Metadata.Labels["release"] != "prometheus" || len(rule.Spec.Groups) != 1 {
		t.Fatalf("rendered:\n%s", out)
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": rule.Spec.Groups[0].Name, "rules": rule.Spec.Groups[0].Rules}}})
	if err != nil {
		t.Fatal(err)
	}
	return text, rule.Spec.Groups[0].Rules
}

// story is what an alert sees of the replica a, and maybe of others, by the values
// of a series each minute, and whether it fires for a after twenty.
type story struct {
	series []string // "NAME{LABELS} VALUES", of a where no instance is named
	fires  bool
}

// stories has for each alert one in which it fires and some in which it does not.
var stories = map[string][]story{
	"FairwayViewStale": {
		{[]string{`fairway_view_age_seconds{kind="Pod"} 5 70+60x25`}, true},
		{[]string{`fairway_view_age_seconds{kind="Pod"} 5+0x30`}, false},
		{[]string{`fairway_view_age_seconds{kind="Pod"} 5+0x18 90 5+0x10`}, false}, // for a moment
	},
	"FairwayWatchesLose": {
		{[]string{`fairway_view_relists_total{kind="Pod"} 0+1x30`}, true},
		{[]string{`fairway_view_relists_total{kind="Pod"} 0+0x10 3+0x30`}, false},
	},
	"FairwayMemoryRunsShort": {
		{[]string{`fairway_memory_live_bytes 900+0x30`, `fairway_memory_limit_bytes 1000+0x30`}, true},
		{[]string{`fairway_memory_live_bytes 700+0x30`, `fairway_memory_limit_bytes 1000+0x30`}, false},
		{[]string{`fairway_memory_live_bytes 900+0x30`, `fairway_memory_limit_bytes 0+0x30`}, false}, // none is known
	},
	"FairwayMemoryIsShed": {
		{[]string{`fairway_memory_sheds_total 0+1x30`}, true},
		{[]string{`fairway_memory_sheds_total 0+0x15 1+0x30`}, false},
	},
	"FairwayDescriptorsNearLimit": {
		{[]string{`fairway_xds_connections 950+0x30`, `fairway_xds_connections_limit 1000+0x30`}, true},
		{[]string{`fairway_xds_connections 500+0x30`, `fairway_xds_connections_limit 1000+0x30`}, false},
		{[]string{`fairway_xds_connections 950+0x30`, `fairway_xds_connections_limit 0+0x30`}, false},
	},
	"FairwayRefusesProxies": {
		{[]string{`fairway_xds_connections_refused_total 0+0x17 1+0x10`}, true},
		{[]string{`fairway_xds_connections_refused_total 7+0x30`}, false},
	},
	"FairwayLosesProxies": {
		{[]string{`fairway_xds_connections_lost_total{reason="silent"} 0+0x15 40+0x10`}, true},
		{[]string{`fairway_xds_connections_lost_total{reason="silent"} 0+0x15 3+0x10`, `fairway_xds_connections_lost_total{reason="unread"} 0+0x15 3+0x10`}, false},
	},
	"FairwayRootsPutBack": {
		{[]string{`fairway_roots_restored_total{fault="deleted"} 0+0x15 1+0x10`}, true},
		{[]string{`fairway_roots_restored_total{fault="deleted"} 1+0x30`}, false},
	},
	"FairwayAuthorityHasProblem": {
		{[]string{`fairway_authority_problem{source="stored"} 0+0x15 1+0x10`}, true},
		{[]string{`fairway_authority_problem{source="stored"} 0+0x30`}, false},
	},
	"FairwayProxiesRefuse": {
		{[]string{`fairway_xds_refused_resources{type="lds"} 0+0x15 2+0x10`, `fairway_xds_refused_resources{type="cds"} 0+0x30`}, true},
		{[]string{`fairway_xds_refused_resources{type="lds"} 0+0x30`, `fairway_xds_refused_resources{type="lds",instance="b"} 2+0x30`}, false}, // others do
		{[]string{`fairway_xds_refused_resources{type="lds"} 0+0x19 2+0x10`}, false},                                                           // for a moment
	},
	"FairwayProxiesLate": {
		{[]string{`fairway_xds_overdue_total{step="clusters"} 0+2x30`}, true},
		{[]string{`fairway_xds_overdue_total{step="clusters"} 0+0x15 8+0x10`, `fairway_xds_overdue_total{step="routes"} 0+0x15 8+0x10`}, true},
		{[]string{`fairway_xds_overdue_total{step="clusters"} 0+0x15 4+0x10`}, false},
		{[]string{`fairway_xds_overdue_total{step="clusters"} 900+0x15 0+0x10`}, false}, // started again
	},
	"FairwayConvergenceSlow": {
		{converged("0+1x30", "0+10x30", "0+10x30"), true},
		{converged("0+1x30", "0+1x30", "0+10x30"), true},                               // beyond the last bound
		{converged("900+1x12 0+1x20", "900+10x12 0+10x20", "900+10x12 0+10x20"), true}, // started again
		{converged("0+1000x30", "0+1001x30", "0+1001x30"), false},
		{converged("7+0x30", "9+0x30", "9+0x30"), false},                                 // nothing changes
		{converged("0+0x15 1+0x10", "0+0x15 9+0x10", "0+0x15 9+0x10"), false},            // one change
		{converged("0+0x8 1+0x20", "0+0x8 9+0x2 18+0x20", "0+0x8 9+0x2 18+0x20"), false}, // two within three minutes
	},
	"FairwayReplicasDisagree": {
		{[]string{`fairway_hosts 90+0x30`, `fairway_hosts{instance="b"} 100+0x30`, `fairway_hosts{instance="c"} 100+0x30`}, true},
		{[]string{`fairway_hosts 90+0x30`, `fairway_hosts{instance="b"} 105+1x5 105-1x5 105+1x20`}, true}, // the other one goes on
		{[]string{`fairway_hosts 100+0x30`, `fairway_hosts{instance="b"} 90+0x30`}, false},                // the other one does
		{[]string{`fairway_hosts 100+0x30`, `fairway_hosts{instance="b"} 100+0x30`}, false},
		{[]string{`fairway_hosts 100+0x30`}, false},                                                                         // there is one
		{[]string{`fairway_hosts 100+10x30`, `fairway_hosts{instance="b"} 105+10x30`}, false},                               // scraped at another time
		{[]string{`fairway_hosts _x7 90+0x30`, `fairway_hosts{instance="b"} 100+0x7 stale`}, false},                         // in the place of b, after hosts went
		{[]string{`fairway_hosts{namespace="one"} 90+0x30`, `fairway_hosts{namespace="two",instance="b"} 100+0x30`}, false}, // two meshes
	},
}

// converged are the series of a histogram of convergence.
func converged(within5, within10, all string) []string {
	const name = "fairway_xds_convergence_seconds_bucket"
	return []string{name + `{le="5"} ` + within5, name + `{le="10"} ` + within10, name + `{le="+Inf"} ` + all}
}

// TestAlerts has Prometheus' own engine judge each alert by stories in which it
// has to fire, and such in which it must not.
func TestAlerts(t *testing.T) {
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not in PATH (Debian: apt-get install prometheus)")
	}
	text, list := alerts(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	var tests []any
	told := map[string]bool{}
	for _, a := range list {
		if a.Annotations["summary"] == "" || a.Annotations["remedy"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a remedy or a severity", a.Alert)
		}
		told[a.Alert] = true
		fires := 0
		for _, s := range stories[a.Alert] {
			tests = append(tests, s.test(a.Alert))
			if s.fires {
				fires++
			}
		}
		if fires == 0 || fires == len(stories[a.Alert]) {
			t.Errorf("%s: a story in which it fires, and one in which it does not, are wanted", a.Alert)
		}
	}
	for name := range stories {
		if !told[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
	content, err := json.Marshal(map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tests.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// test is the story as promtool reads it: how many series the alert has after
// twenty minutes.
func (s story) test(name string) any {
	var series []any
	for _, line := range s.series {
		name, values, _ := strings.Cut(line, " ")
		if !strings.HasSuffix(name, "}") {
			name += "{}"
		}
		if !strings.Contains(name, "instance=") {
			name = strings.TrimSuffix(name, "}") + `,instance="a"}`
		}
		series = append(series, map[string]string{"series": strings.Replace(name, "{,", "{", 1), "values": values})
	}
	firing := 0
	if s.fires {
		firing = 1
	}
	count := `count(ALERTS{alertname="` + name + `", alertstate="firing", instance="a"}) or vector(0)`
	return map[string]any{"interval": "1m", "input_series": series, "promql_expr_test": []any{map[string]any{
		"expr": count, "eval_time": "20m", "exp_samples": []any{map[string]any{"labels": "{}", "value": firing}}}}}
}

// TestMonitoringIsAsked: neither object is there unless it is asked for, and the
// dashboard is what Grafana reads.
func TestMonitoringIsAsked(t *testing.T) {
	if r := render(t, "mesh"); r["ConfigMap mesh/fairway-dashboard"] != nil {
		t.Error("there is a dashboard that nobody asked for")
	}
	out := helm(t, "template", "fairway", prepared(t), "-n", "mesh", "--kube-version", kubernetesVersion, "--show-only", "templates/monitoring.yaml", "--set", "monitoring.dashboard.enabled=true")
	var m struct {
		Metadata struct{ Labels map[string]string }
		Data     map[string]string
	}
	if err := yaml.Unmarshal([]byte(out), &m); err != nil {
		t.Fatal(err)
	}
	var d struct{ Panels []struct{ Title string } }
	if err := json.Unmarshal([]byte(m.Data["fairway-control-plane.json"]), &d); err != nil || len(d.Panels) == 0 || m.Metadata.Labels["grafana_dashboard"] != "1" {
		t.Errorf("%v: rendered:\n%.400s", err, out)
	}
}
