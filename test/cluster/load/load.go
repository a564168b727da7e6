// Package load asks one URL again and again and counts every answer, so that a
// test can say that none was missing. Its command does so inside a pod.
//
// It must never try a request a second time.
package load

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options say what is asked.
type Options struct {
	// URL is asked with GET.
	URL string
	// Host is the header; "" is the URL's.
	Host string
	// Workers ask at the same time, each on a connection that it keeps.
	Workers int
	// Pause is how long a worker waits between two requests.
	Pause time.Duration
	// Fresh opens a connection for each request.
	Fresh bool
}

// Count is what was asked and answered.
type Count struct {
	// Requests is the number of answers and failures.
	Requests int `json:"requests"`
	// Failures are by what went wrong: a status or an error. At most maxKinds.
	Failures map[string]int `json:"failures,omitempty"`
	// Answers are by the text of the answer. At most maxKinds.
	Answers map[string]int `json:"answers,omitempty"`
}

// Failed is the number of requests that failed.
func (c Count) Failed() int {
	sum := 0
	for _, n := range c.Failures {
		sum += n
	}
	return sum
}

// maxKinds bounds the maps of a Count.
const maxKinds = 200

// timeout is how long an answer may take.
const timeout = 15 * time.Second

// Generator asks until its context ends.
type Generator struct {
	options Options

	mu    sync.Mutex
	count Count
}

// New makes a generator that has not asked yet.
func New(o Options) *Generator {
	return &Generator{options: o, count: Count{Failures: map[string]int{}, Answers: map[string]int{}}}
}

// Count is what happened so far.
func (g *Generator) Count() Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Count{Requests: g.count.Requests, Failures: maps.Clone(g.count.Failures), Answers: maps.Clone(g.count.Answers)}
}

// Run asks until the context ends; requests under way are finished and counted.
func (g *Generator) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range g.options.Workers {
		wg.Go(func() {
			transport := &http.Transport{DisableKeepAlives: g.options.Fresh, MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: timeout}
			for ctx.Err() == nil {
				answer, trouble := g.ask(client)
				g.add(answer, trouble)
				select {
				case <-ctx.Done():
				case <-time.After(g.options.Pause):
				}
			}
		})
	}
	wg.Wait()
}

// body keeps net/http from asking again by itself: it does so only with a
// request whose body it can send again.
type body struct{ io.Reader }

func (g *Generator) ask(client *http.Client) (answer, trouble string) {
	req, err := http.NewRequest(http.MethodGet, g.options.URL, body{strings.NewReader("-")})
	if err != nil {
		return "", err.Error()
	}
	req.Host = g.options.Host
	resp, err := client.Do(req)
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", "reading the answer: " + err.Error()
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Sprintf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return strings.TrimSpace(string(text)), ""
}

func (g *Generator) add(answer, trouble string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count.Requests++
	into, key := g.count.Answers, answer
	if trouble != "" {
		into, key = g.count.Failures, time.Now().Format("15:04:05.000 ")+trouble
	}
	if _, known := into[key]; !known && len(into) >= maxKinds {
		key = "more"
	}
	into[key]++
}
