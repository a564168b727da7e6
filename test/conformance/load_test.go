package conformance

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is traffic that goes on while a step is done. Each target is loaded by two
// clients: URLs are requested without a pause, and on "tcp://host:port" lines are
// exchanged over connections that stay open.
type load struct {
	done  chan struct{}
	group sync.WaitGroup

	mu       sync.Mutex
	count    int
	failures []string
}

// load begins to load the targets, from sleep or, as "namespace/workload URL", from
// another. stop ends it and says whether nothing failed.
func (w *world) load(t *testing.T, targets []string) (stop func() bool) {
	l := &load{done: make(chan struct{})}
	for _, target := range targets {
		from, url, given := strings.Cut(target, " ")
		if !given {
			from, url = "", target
		}
		c, err := w.client(from)
		if err != nil {
			t.Fatal(err)
		}
		transport, err := c.transport(request{Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		work := func() { l.requests(c, transport, url) }
		if address, ok := strings.CutPrefix(url, "tcp://"); ok {
			work = func() { l.lines(c, address) }
		}
		for range 2 {
			l.group.Go(work)
		}
	}
	return func() bool {
		close(l.done)
		l.group.Wait()
		if len(l.failures) > 0 {
			t.Errorf("%d of %d requests failed during the step; the first: %s", len(l.failures), l.count, l.failures[0])
		}
		return len(l.failures) == 0
	}
}

// note counts one exchange, and says whether to go on.
func (l *load) note(failure string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if failure != "" {
		l.failures = append(l.failures, failure)
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (l *load) requests(c client, transport *http.Transport, url string) {
	for more := true; more; {
		r := c.http(transport, request{URL: url})
		failure := ""
		if r.err != nil || r.status != http.StatusOK {
			failure = url + ": " + r.String()
		}
		more = l.note(failure)
	}
}

// lines keeps one connection open.
func (l *load) lines(c client, address string) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", address, request{})
	if err != nil {
		l.note(address + ": " + err.Error())
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		_ = conn.SetDeadline(time.Now().Add(longest))
		if _, err = fmt.Fprintln(conn, "still there"); err == nil {
			_, err = r.ReadString('\n')
		}
		if err != nil {
			l.note(address + " was cut: " + err.Error())
			return
		}
		if !l.note("") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
