package explain

import (
	"fmt"
	"net/http"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/fairway-mesh/fairway/translate"
)

// request finds the virtual host and its route. terminated tells that the
// proxy has the certificate of the client's TLS.
func (w *walk) request(h *hcmv3.HttpConnectionManager, terminated bool) {
	if w.Scheme == "https" && !terminated {
		w.end(0, "", "The chain reads plain requests, and the connection is TLS: Envoy answers 400 or closes it.")
		return
	}
	config := h.GetRouteConfig()
	if name := h.GetRds().GetRouteConfigName(); name != "" {
		if config = w.Routes[name]; config == nil {
			w.end(404, "NR", "The chain takes its routes from %q, which the proxy was not given.", name)
			return
		}
		w.say("routes", name, "The chain takes its routes from here.")
	}
	w.Path = normalized(h, w.Path)
	if !w.may(h) {
		return
	}
	host, domain := virtualHost(config, w.Host)
	w.levels = []level{config}
	if host == nil {
		w.end(404, "NR", "No virtual host has the name %q.", w.Host)
		return
	}
	why := fmt.Sprintf("Its domain %q is the best match for %q.", domain, w.Host)
	if domain == "*" {
		why = fmt.Sprintf("No virtual host knows %q; this one takes the rest.", w.Host)
	}
	w.say("virtual host", host.Name, "%s", why)
	if w.NotHeld[host.Name] && domain != "*" {
		w.say("on demand", host.Name, "The sidecar does not hold this host yet: it learns its scope. With the first request, which waits, it asks the control plane.")
	}
	w.levels = []level{host, config}
	if host.RequireTls == routev3.VirtualHost_ALL && w.Scheme != "https" {
		w.Location = "https://" + w.Authority + w.Path
		w.end(301, "", "The virtual host answers plain requests by sending the client to https (httpsRedirect of the Gateway's server).")
		return
	}
	var passed []string
	for i, r := range host.Routes {
		met, reason := w.matches(r.Match)
		if met {
			w.met(r.Metadata)
			w.VirtualHost, w.Route = host, r
			w.say("route", routeTitle(r, i), "%s", w.whyRoute(r, i, len(host.Routes), passed))
			w.act(r)
			return
		}
		passed = append(passed, fmt.Sprintf("%s: %s", routeTitle(r, i), reason))
	}
	w.end(404, "NR", "No route of the virtual host matches (%s).", strings.Join(passed, "; "))
}

// routeTitle names a route by its rule, or its name, or its place.
func routeTitle(r *routev3.Route, i int) string {
	if rule := Rule(r.Metadata); rule != "" {
		return rule
	}
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("route %d", i)
}

func (w *walk) whyRoute(r *routev3.Route, i, of int, passed []string) string {
	why := fmt.Sprintf("Route %d of %d is the first that matches (%s).", i+1, of, RouteMatch(r.Match))
	if len(passed) > 0 {
		why += " Passed over: " + strings.Join(passed, "; ") + "."
	}
	if f := r.Match.GetRuntimeFraction(); f != nil {
		why += " It takes only a part of the requests; the others go on to the routes after it."
	}
	return why
}

// virtualHost finds the virtual host by Envoy's order: the name itself, the
// longest "*suffix", the longest "prefix*", then "*".
func virtualHost(config *routev3.RouteConfiguration, host string) (found *routev3.VirtualHost, domain string) {
	best := 0
	for _, h := range config.GetVirtualHosts() {
		for _, d := range h.Domains {
			rank, d := 0, strings.ToLower(d)
			suffix, ends := strings.CutPrefix(d, "*")
			prefix, begins := strings.CutSuffix(d, "*")
			switch {
			case d == "*":
				rank = 1
			case d == host:
				rank = 1 << 30
			case ends && len(host) > len(suffix) && strings.HasSuffix(host, suffix):
				rank = 1<<20 + len(suffix)
			case begins && len(host) > len(prefix) && strings.HasPrefix(host, prefix):
				rank = 1<<10 + len(prefix)
			}
			if rank > best {
				best, found, domain = rank, h, d
			}
		}
	}
	return found, domain
}

// act does what the route says.
func (w *walk) act(r *routev3.Route) {
	w.levels = append([]level{r}, w.levels...)
	switch a := r.Action.(type) {
	case *routev3.Route_Redirect:
		w.Location, w.Changes = w.location(a.Redirect, r.Match), w.answerChanges(nil)
		codes := map[routev3.RedirectAction_RedirectResponseCode]int{routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302,
			routev3.RedirectAction_SEE_OTHER: 303, routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308}
		w.end(codes[a.Redirect.ResponseCode], "", "The route redirects the client%s.", redirectWords(a.Redirect))
	case *routev3.Route_DirectResponse:
		why := "The route answers by itself."
		if r.Name == "block_all" {
			why = "The mesh knows no such host, and outboundTrafficPolicy REGISTRY_ONLY lets nothing out that it does not know."
		}
		w.Changes = w.answerChanges(nil)
		w.end(int(a.DirectResponse.Status), "", "%s", why)
	case *routev3.Route_Route:
		w.faults(r)
		w.changes(a.Route)
		w.forward(a.Route, r.Match)
	default:
		w.end(0, "", "The route does something that is not followed here (%T).", r.Action)
	}
}

func redirectWords(r *routev3.RedirectAction) string {
	out := ""
	if r.HostRedirect != "" {
		out += " to host " + r.HostRedirect
	}
	if r.GetPathRedirect() != "" {
		out += " to path " + r.GetPathRedirect()
	}
	if r.GetPrefixRewrite() != "" {
		out += ", with " + r.GetPrefixRewrite() + " in place of what matched"
	}
	return out
}

// faults tells what the route injects.
func (w *walk) faults(r *routev3.Route) {
	f := &faultv3.HTTPFault{}
	config := r.TypedPerFilterConfig[translate.FaultFilter]
	if config == nil || config.UnmarshalTo(f) != nil {
		return
	}
	if d := f.Delay; d != nil {
		w.say("fault", Rule(r.Metadata), "%s of the requests wait %s first.", percent(d.Percentage), delay(d))
	}
	if a := f.Abort; a != nil {
		w.say("fault", Rule(r.Metadata), "%s of the requests are answered %d by the proxy, with flag FI.", percent(a.Percentage), a.GetHttpStatus())
	}
}

func delay(d *commonfaultv3.FaultDelay) string { return d.GetFixedDelay().AsDuration().String() }

func percent(p *typev3.FractionalPercent) string {
	of := map[typev3.FractionalPercent_DenominatorType]float64{typev3.FractionalPercent_HUNDRED: 1, typev3.FractionalPercent_TEN_THOUSAND: 100, typev3.FractionalPercent_MILLION: 10000}
	return fmt.Sprintf("%g%%", float64(p.GetNumerator())/of[p.GetDenominator()])
}

// changes tells what the route does to the request on its way.
func (w *walk) changes(a *routev3.RouteAction) {
	if p := a.PrefixRewrite; p != "" {
		w.say("rewrite", p, "It takes the place of the prefix that matched.")
	}
	if h := a.GetHostRewriteLiteral(); h != "" {
		w.say("rewrite", h, "It takes the place of the Host header.")
	}
	for _, m := range a.RequestMirrorPolicies {
		w.say("mirror", m.Cluster, "It gets a copy of %s of the requests; its answers are discarded.", percent(m.RuntimeFraction.GetDefaultValue()))
	}
	if t := a.GetTimeout().AsDuration(); t > 0 {
		w.say("timeout", t.String(), "If there is no answer by then the client gets 504 UT.")
	}
}

func (w *walk) forward(a *routev3.RouteAction, m *routev3.RouteMatch) {
	missing := http.StatusServiceUnavailable
	switch a.ClusterNotFoundResponseCode {
	case routev3.RouteAction_NOT_FOUND:
		missing = http.StatusNotFound
	case routev3.RouteAction_INTERNAL_SERVER_ERROR:
		missing = http.StatusInternalServerError
	}
	if a.GetWeightedClusters() != nil {
		var shares []weighted
		for _, c := range a.GetWeightedClusters().Clusters {
			shares = append(shares, weighted{c.Name, c.Weight.GetValue(), w.sent(a, m, c), w.answerChanges(c)})
		}
		w.balance(shares, missing)
		return
	}
	name := a.GetCluster()
	if h := a.GetClusterHeader(); h != "" {
		name, _ = w.header(h)
	}
	w.balance([]weighted{{name, 1, w.sent(a, m, nil), w.answerChanges(nil)}}, missing)
}
