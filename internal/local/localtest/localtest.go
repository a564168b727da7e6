//go:build linux

// Package localtest starts local meshes for tests: it builds the fairway binary
// once per test program, finds Envoy, and skips with one line what this machine
// cannot run.
//
// It must never be imported by anything but tests.
package localtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
	"github.com/fairway-mesh/fairway/internal/local"
)

// BinaryVariable names a fairway binary to test with, instead of building one.
const BinaryVariable = "FAIRWAY_TEST_BINARY"

// whyNot holds, for Mesh, why this machine cannot run a local mesh.
const whyNot = "FAIRWAY_TEST_WHY_NOT"

// Main is what TestMain calls, and ends with: it gets the privileges that a local
// mesh needs and builds the binary.
func Main(m *testing.M) int {
	done, code, err := local.Elevate()
	if err != nil {
		os.Setenv(whyNot, err.Error())
	} else if done {
		return code
	}
	if os.Getenv(BinaryVariable) == "" {
		dir, err := os.MkdirTemp("", "fairway-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary := filepath.Join(dir, "fairway")
		if out, err := exec.Command("go", "build", "-o", binary, "github.com/fairway-mesh/fairway/cmd/fairway").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building fairway: %v\n%s", err, out)
			return 1
		}
		os.Setenv(BinaryVariable, binary)
	}
	return m.Run()
}

// Fairway is the binary that Main built.
func Fairway(t testing.TB) string {
	t.Helper()
	path := os.Getenv(BinaryVariable)
	if path == "" {
		t.Fatal("TestMain of this package does not call localtest.Main")
	}
	return path
}

// Need skips the test where a local mesh cannot run, and returns the path of Envoy.
func Need(t testing.TB) (envoy string) {
	t.Helper()
	if reason := os.Getenv(whyNot); reason != "" {
		t.Skip(reason)
	}
	envoy, err := envoyfetch.Find(envoyfetch.Version)
	if err != nil {
		t.Skip(err)
	}
	return envoy
}

// Mesh starts a mesh that ends with the test; nothing of it may stay. change may
// be nil.
func Mesh(t testing.TB, change func(*local.Config)) *local.Mesh {
	t.Helper()
	c := local.Config{Envoy: Need(t), Fairway: Fairway(t), Log: Log(t)}
	if change != nil {
		change(&c)
	}
	m, err := local.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing the local mesh: %v", err)
		}
		if _, err := os.Stat(m.Dir()); err == nil && !c.KeepFiles {
			t.Error("the local mesh's directory is still there")
		}
	})
	return m
}

// Log writes to the test's log.
func Log(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(logWriter{t}, nil)) }

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
