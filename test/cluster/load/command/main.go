// Command command is package load in a pod: it prints its count as JSON, a line
// twice a second and a last one at its end.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairway-mesh/fairway/test/cluster/load"
)

func main() {
	var o load.Options
	flag.StringVar(&o.URL, "url", "", "what to ask")
	flag.StringVar(&o.Host, "host", "", "header Host")
	flag.IntVar(&o.Workers, "workers", 4, "how many ask at the same time")
	flag.DurationVar(&o.Pause, "pause", 10*time.Millisecond, "wait between two requests of a worker")
	flag.BoolVar(&o.Fresh, "fresh", false, "a connection for each request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	g := load.New(o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case <-done:
			_ = out.Encode(g.Count())
			return
		case <-time.After(500 * time.Millisecond):
			_ = out.Encode(g.Count())
		}
	}
}
