package chart_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fairway-mesh/fairway/test/chart"
)

// kubernetes is what `helm template` takes the cluster to be.
const kubernetesVersion = "1.36.0"

// helm runs Helm: that of $HELM, of PATH, or one built from its module.
func helm(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := tryHelm(t, arguments...)
	if err != nil {
		t.Fatalf("helm %v: %v", arguments, err)
	}
	return out
}

func tryHelm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	program := helmProgram(t)
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", &helmError{err, problem.String()}
	}
	return out.String(), nil
}

type helmError struct {
	err  error
	said string
}

func (e *helmError) Error() string { return e.err.Error() + ": " + e.said }

func helmProgram(t *testing.T) string {
	t.Helper()
	program, err := chart.Helm(t.Context(), os.Stderr)
	if err != nil {
		t.Skip("no Helm: ", err)
	}
	return program
}

// prepared is a folder with the whole chart.
func prepared(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fairway")
	if err := chart.Directory(context.WithoutCancel(t.Context()), dir, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	return dir
}
