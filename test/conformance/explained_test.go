package conformance

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/internal/requests"
)

// compared is how many requests explained has compared.
var compared atomic.Int64

// explained holds what `fairway test` says of a request to what Envoy did with it; "" when
// they agree, or when the request has what is not followed.
func (w *world) explained(t *testing.T, r request, results []result) string {
	suite, asked, followed := w.followed(r)
	if !followed {
		return ""
	}
	offline, err := operate.ReadOffline(t.Context(), filepath.Join(w.dir, "config"))
	if err != nil {
		return err.Error()
	}
	o, err := requests.NewMesh(offline).Ask(t.Context(), suite, asked)
	if err != nil {
		return err.Error()
	}
	if slices.ContainsFunc(o.Steps, func(s explain.Step) bool { return s.What == "fault" }) {
		return "" // a matter of chance
	}
	for _, s := range o.Servers {
		namespace, name, _ := strings.Cut(s.Workload, "/")
		if w.leadsOn(namespace, name) {
			return ""
		}
	}
	compared.Add(1)
	uncertain := o.Decided().Decision == explain.Unknown
	for _, got := range results {
		if uncertain && got.seen.Workload == "" {
			continue // it may be refused
		}
		if problem := disagrees(&o, got); problem != "" {
			return fmt.Sprintf("%s\n\tsaid: %+v", problem, o)
		}
	}
	return ""
}

// followed is the request as `fairway test` takes it; false for one that it cannot follow:
// TLS of applications, tokens, other protocols, and names that only DNS knows.
func (w *world) followed(r request) (*requests.Suite, *requests.Request, bool) {
	if r.URL == "" || !strings.HasPrefix(r.URL, "http://") || r.HTTP2 || r.GRPC || r.Via != "" || r.Proxied != "" || r.Token != nil || r.Keep || r.Want.Answered != 0 {
		return nil, nil, false
	}
	from, namespace := r.From, "default"
	switch {
	case from == "":
		from = "sleep"
	case from == "outside":
		u, err := url.Parse(r.URL)
		if err != nil {
			return nil, nil, false
		}
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			return nil, nil, false
		}
	case strings.Contains(from, "/"):
		namespace, from, _ = strings.Cut(from, "/")
	}
	p, err := w.client(r.From)
	if err != nil || r.From != "outside" && !w.hasProxy(p) {
		return nil, nil, false
	}
	source := ""
	if r.From == "outside" {
		source = outsideAddress.String()
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	return &requests.Suite{Namespace: namespace}, &requests.Request{From: from, URL: r.URL, Method: method, Headers: r.Headers, Source: source}, true
}

// leadsOn tells whether a workload is a gateway, behind which the way goes on.
func (w *world) leadsOn(namespace, workload string) bool {
	for _, p := range w.pods {
		if p.namespace == namespace && p.workload == workload && p.gateway() {
			return true
		}
	}
	return false
}

// hasProxy tells whether the client's traffic passes a proxy.
func (w *world) hasProxy(c client) bool {
	for _, p := range w.pods {
		if p.wire != nil && p.wire.Namespace == c.network {
			return p.proxy != nil
		}
	}
	return false
}

// disagrees says in what an outcome is otherwise than a result.
func disagrees(o *requests.Outcome, got result) string {
	if o.Closed() {
		if got.err == nil {
			return "closed"
		}
		return ""
	}
	if status := o.Status(); status != 0 {
		switch {
		case got.err != nil || got.status != status:
			return fmt.Sprintf("status %d", status)
		case o.Location != "" && got.header.Get("Location") != o.Location:
			return fmt.Sprintf("location %q, got %q", o.Location, got.header.Get("Location"))
		}
		return answered(o.Changes, got)
	}
	if got.seen.Workload == "" || got.status == http.StatusSwitchingProtocols {
		if got.status == http.StatusForbidden {
			return "let through"
		}
		return "" // no endpoint works, a limit, or a server that is no application of the case
	}
	var by []explain.Share
	for _, s := range o.To {
		if s.Sent == nil || s.Sent.Path == got.seen.Path && s.Sent.Host == got.seen.Host {
			by = append(by, s)
		}
	}
	if len(o.To) > 0 && len(by) == 0 {
		return fmt.Sprintf("another path or host than %q and %q", got.seen.Path, got.seen.Host)
	}
	known := slices.ContainsFunc(o.Servers, func(s requests.Server) bool {
		_, name, _ := strings.Cut(s.Workload, "/")
		return s.Verdict.Decision == explain.Unknown || name == got.seen.Workload || name == got.seen.Pod // which a case may write by itself
	})
	if !known && len(o.Servers) > 0 {
		return "another server"
	}
	for _, s := range by {
		if s.Sent == nil {
			return ""
		}
		problem := answered(s.Answer, got)
		for name := range s.Sent.Header {
			if name == "Authorization" && o.Decided().Decision == explain.Unknown {
				continue // the server's proxy takes the token away
			}
			if value := strings.Join(s.Sent.Header[name], ","); !strings.Contains(value, "%") && got.seen.Headers[strings.ToLower(name)] != value {
				problem = fmt.Sprintf("header %s is %q, got %q", name, value, got.seen.Headers[strings.ToLower(name)])
			}
		}
		if problem == "" {
			return ""
		}
		if len(by) == 1 {
			return problem
		}
	}
	return ""
}

// answered says which header of an answer is not as rules set it.
func answered(c explain.Changes, got result) string {
	for name := range c.Set {
		for _, value := range c.Set[name] {
			if all := got.header.Values(name); !strings.Contains(value, "%") && !slices.Contains(all, value) && strings.Join(all, ",") != value {
				return fmt.Sprintf("the answer's header %s is %q, got %q", name, value, all)
			}
		}
	}
	return ""
}
