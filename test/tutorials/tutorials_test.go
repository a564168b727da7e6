//go:build linux

// Package tutorials runs the four tutorials end to end: the code of "fairway
// demo" on a real control plane, real Envoys and real traffic, and the dashboards
// on a real Prometheus. Of the 100,000 requests of tutorial C, which "make demo"
// makes, it makes a quarter: they take as long as all the rest beside a cluster.
package tutorials

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/demo"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

func TestMain(m *testing.M) { os.Exit(localtest.Main(m)) }

func TestTutorials(t *testing.T) {
	envoy := localtest.Need(t)
	for _, letter := range demo.Letters() {
		t.Run(letter, func(t *testing.T) {
			var course bytes.Buffer
			o := demo.Options{Fairway: localtest.Fairway(t), Envoy: envoy, Out: &course, Log: localtest.Log(t), Requests: 25_000}
			if testing.Short() {
				o.Requests = 10_000
			}
			report, err := demo.Run(t.Context(), []string{letter}, o, false)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Checks) < 4 {
				t.Errorf("only %d things were checked", len(report.Checks))
			}
			for _, c := range report.Checks {
				if !c.OK {
					t.Errorf("must be seen: %s\nseen: %s", c.Must, c.Seen)
				}
			}
			t.Log(strings.TrimSpace(course.String()))
		})
	}
}

func TestUnknownTutorial(t *testing.T) {
	if _, err := demo.Run(t.Context(), []string{"Z"}, demo.Options{}, false); err == nil || !strings.Contains(err.Error(), "A, B, C, D") {
		t.Errorf("got %v, want an error that names the tutorials", err)
	}
}
