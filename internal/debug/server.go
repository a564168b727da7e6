package debug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/history"
	"github.com/fairway-mesh/fairway/internal/listen"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Config is what the port shows. All functions but Authorize are required, and
// all are safe for concurrent use.
type Config struct {
	Metrics  *prometheus.Registry
	Ready    func() error // why the control plane cannot serve proxies; nil when it can
	Findings func() []object.Finding
	Proxies  func() []discovery.ProxyState
	World    func() *mesh.World                       // nil before the first one
	Dump     func(node string, all bool) (any, error) // the resources of one connected proxy, see snapshot.Engine
	// Progress is how far the proxies of this replica are with objects.
	Progress func(of []object.Ref) []Progress
	// History are the things that happened since a moment, the oldest first.
	History func(since time.Time) []history.Entry
	// Learned are the workloads that have asked for hosts, in a mesh with a learned scope.
	Learned func() []snapshot.Learned
	// Views say how well the control plane knows the API server.
	Views func() []View
	// Authorize is asked about readers of /debug/ from elsewhere than this
	// machine; nil: there are none.
	Authorize Authorize
}

// Handler serves /healthz, /readyz and /metrics to everybody, and /debug/ to
// who may read it.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := c.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		views := c.Views()
		nameKinds(w.Header(), views)
		fmt.Fprintln(w, "ok")
		printStale(w, views)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", index)
	pages := http.NewServeMux()
	mux.Handle("GET /debug/", guard(pages, c.Authorize))
	c.pages(pages)
	return mux
}

// pages are those under /debug/.
func (c Config) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/findings", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Findings(c.Findings())) })
	mux.HandleFunc("GET /debug/syncz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, proxies(c.Proxies(), c.World())) })
	mux.HandleFunc("GET /debug/registryz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, hosts(c.World())) })
	mux.HandleFunc("GET /debug/endpointz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, endpoints(c.World())) })
	mux.HandleFunc("GET /debug/progressz", c.progress)
	mux.HandleFunc("GET /debug/historyz", c.history)
	mux.HandleFunc("GET /debug/viewz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.Views()) })
	mux.HandleFunc("GET /debug/learnedz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.Learned()) })
	mux.HandleFunc("GET /debug/config_dump", func(w http.ResponseWriter, r *http.Request) {
		dump, err := c.Dump(r.URL.Query().Get("proxyID"), r.URL.Query().Has("all"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		writeJSON(w, dump)
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/{$}", index)
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!doctype html><meta charset="utf-8"><title>Fairway</title><h1>Fairway</h1><ul>
<li><a href="/debug/syncz">syncz</a>: connected proxies, and how far each is
<li><a href="/debug/findings">findings</a>: rules that are not in force, and why
<li><a href="/debug/registryz">registryz</a>: hosts of the mesh
<li><a href="/debug/endpointz">endpointz</a>: their endpoints
<li><a href="/debug/viewz">viewz</a>: how old what was read of the API server is
<li><a href="/debug/historyz">historyz</a>: what changed lately, for whom, and since when they have it (?since=10m)
<li><a href="/debug/learnedz">learnedz</a>: what workloads with a learned scope hold, since when and by which names
<li>/debug/progressz?object=KIND/NAMESPACE/NAME: which proxies have accepted an object
<li>/debug/config_dump?proxyID=POD.NAMESPACE: what one proxy was given (&amp;all: and what it may ask for)
<li><a href="/metrics">metrics</a>, <a href="/readyz">readyz</a>, <a href="/debug/pprof/">pprof</a>
</ul>
`)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client is gone
}

// How many connections the port has, in all and of one address. Probes and scrapers use
// one each.
const (
	maxConnections     = 256
	maxConnectionsEach = 64
)

// Serve answers on the listener until the context ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	l = listen.Bounded(l, maxConnections, maxConnectionsEach)
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(late)
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}
