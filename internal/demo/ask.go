//go:build linux

package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// counts is how often each answer came.
type counts map[string]int

// String is "v1 48, v2 52".
func (c counts) String() string {
	var parts []string
	for _, k := range slices.SortedFunc(maps.Keys(c), cmp.Compare) {
		parts = append(parts, fmt.Sprintf("%s %d", k, c[k]))
	}
	return strings.Join(parts, ", ")
}

func (c counts) total() int {
	n := 0
	for _, v := range c {
		n += v
	}
	return n
}

// only says whether nothing else was answered, and something was.
func (c counts) only(answer string) bool { return c[answer] > 0 && c[answer] == c.total() }

// even says whether two answers came, each in at least the share (0 to 0.5).
func (c counts) even(a, b string, share float64) bool {
	least := int(share * float64(c.total()))
	return c[a]+c[b] == c.total() && c[a] > 0 && c[b] > 0 && c[a] >= least && c[b] >= least
}

// get asks once. Anything but 200 is an answer too: its status.
func get(ctx context.Context, client *http.Client, url string, headers ...string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status, nil
	}
	return strings.TrimSpace(string(body)), nil
}

// ask asks n times and counts the answers.
func ask(ctx context.Context, client *http.Client, n int, url string, headers ...string) (counts, error) {
	c := counts{}
	for range n {
		answer, err := get(ctx, client, url, headers...)
		if err != nil {
			return c, err
		}
		c[answer]++
	}
	return c, nil
}

// from is a client whose requests come from inside a pod.
func (r *run) from(ctx context.Context, namespace, selector string) (*http.Client, error) {
	pod, err := r.mesh.Pod(namespace, selector)
	if err != nil {
		return nil, err
	}
	return r.mesh.HTTP(ctx, pod)
}
