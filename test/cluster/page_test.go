package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// page is what one control plane answers to a path of its debug port, through a
// port-forward: by any other way it would ask who reads it.
func (s *suite) page(ctx context.Context, pod, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	environment, err := s.Environment(ctx)
	if err != nil {
		return "", err
	}
	forward := exec.CommandContext(ctx, "env", "kubectl", "port-forward", "-n", system, "pod/"+pod, ":15014")
	forward.Env = environment
	said, err := forward.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := forward.Start(); err != nil {
		return "", fmt.Errorf("forwarding a port to %s: %w", pod, err)
	}
	defer func() { cancel(); _ = forward.Wait() }()
	line, err := bufio.NewReader(said).ReadString('\n') // Forwarding from 127.0.0.1:40000 -> 15014
	words := strings.Fields(line)
	if err != nil || len(words) < 3 {
		return "", fmt.Errorf("forwarding a port to %s: %q: %w", pod, line, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+words[2]+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s of %s: %s: %s", path, pod, response.Status, text)
	}
	return string(text), err
}
