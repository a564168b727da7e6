package main

import (
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestLogWithoutReader: a control plane whose log nobody reads any more serves on.
func TestLogWithoutReader(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	debug := lasting(t)
	cmd := exec.Command(program, "serve", "--verbose", "--config", t.TempDir(), "--ca-directory", t.TempDir(), "--xds-address", "", "--secure-xds-address", lasting(t), "--debug-address", debug)
	cmd.Env = append(os.Environ(), beProgram+"=1")
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	deadline := time.After(time.Minute)
	for {
		if r, err := http.Get("http://" + debug + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return // by now it has logged several lines
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-deadline:
			t.Fatal("it is not ready")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
