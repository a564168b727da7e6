package discovery

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/freeport"
)

// TestEnvoyListenerComesAndGoes adds a listener with a route configuration of
// its own, removes it and brings it back before its connections are drained,
// with a virtual host less.
func TestEnvoyListenerComesAndGoes(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		first, second := freeport.TCP(t), freeport.TCP(t)
		back := backend(t, "ok")
		base := []*snapshot.Resource{
			rdsListener(t, "first", first, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
			edsCluster(t, "svc", ""), endpoints(t, "svc", back), virtualHost(t, "80", "svc", "svc"),
		}
		more := []*snapshot.Resource{
			rdsListener(t, "second", second, "81"), frame(t, "81"), virtualHost(t, "81", "*", ""), virtualHost(t, "81", "a", "svc"),
		}
		b := virtualHost(t, "81", "b", "svc")
		without := snapshot.Stack{snapshot.NewRevision(base...)}
		h := serve(t, without, nil, Transport{})
		e := startEnvoy(t, h.addr, delta)
		answer := func(port uint32, host string) string {
			got, err := ask(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, port, host)
			if err != nil {
				return err.Error()
			}
			return got
		}
		eventually(t, "the first listener answers", func() bool { return answer(first, "svc") == "ok" })
		stop := load(first, "svc", 2)
		h.publish(with(without, append(slices.Clone(more), b)))
		eventually(t, "the second listener answers", func() bool { return answer(second, "a") == "ok" && answer(second, "b") == "ok" })
		h.publish(without)
		eventually(t, "the second listener is gone", func() bool { return strings.Contains(answer(second, "a"), "refused") })
		h.publish(with(without, more))
		eventually(t, "the second listener is back", func() bool { return answer(second, "a") == "ok" })
		eventually(t, "what went meanwhile is gone", func() bool { return strings.HasPrefix(answer(second, "b"), "404") })
		h.publish(with(without, append(slices.Clone(more), b)))
		eventually(t, "and comes back", func() bool { return answer(second, "b") == "ok" })
		if requests, failed := stop(); len(failed) > 0 {
			t.Errorf("%d of %d requests failed: %s", len(failed), requests, failed[0])
		}
		if n := e.sum(`update_rejected$`); n != 0 {
			t.Errorf("Envoy refused %d updates: %v", n, h.rejections())
		}
	})
}

// TestEnvoyRefuses gives Envoy a virtual host and a cluster that it does not
// take, among good ones.
func TestEnvoyRefuses(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		port := freeport.TCP(t)
		back := backend(t, "ok")
		stack := snapshot.Stack{snapshot.NewRevision(
			rdsListener(t, "outbound", port, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
			edsCluster(t, "svc", ""), endpoints(t, "svc", back), virtualHost(t, "80", "a", "svc"), virtualHost(t, "80", "bad", "svc"),
		)}
		h := serve(t, stack, nil, Transport{})
		startEnvoy(t, h.addr, delta)
		answers := func(host string) func() bool {
			return func() bool { got, err := ask(http.DefaultClient, port, host); return err == nil && got == "ok" }
		}
		eventually(t, "the first answer", answers("a"))
		eventually(t, "the other first answer", answers("bad"))

		bad := res(t, snapshot.VirtualHost, "80/bad", &routev3.VirtualHost{Name: "80/bad", Domains: []string{"bad"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "(("}}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}}}}})
		stack = with(stack, []*snapshot.Resource{
			bad, virtualHost(t, "80", "b", "fine"), edsCluster(t, "fine", ""), endpoints(t, "fine", back),
			res(t, snapshot.Cluster, "wrong", wrongCluster()), virtualHost(t, "80", "c", "svc"),
		})
		h.publish(stack)
		eventually(t, "good ones beside the bad one", answers("b"))
		eventually(t, "good ones beside the bad one", answers("c"))
		eventually(t, "the bad one as it was", answers("bad"))
		eventually(t, "both refusals are reported", func() bool {
			var names []string
			for _, r := range h.rejections() {
				names = append(names, r.Names...)
			}
			return slices.Contains(names, "wrong") && slices.Contains(names, "80/bad")
		})
		for _, r := range h.rejections() {
			t.Logf("%s %v %v: %s", r.Type, r.Names, r.Owners, r.Message)
			if len(r.Owners) == 0 {
				t.Errorf("nobody is told of %v", r.Names)
			}
		}
		routes := map[bool]snapshot.Type{true: snapshot.VirtualHost, false: snapshot.RouteConfig}[delta]
		// A proxy that comes now gets what was good last.
		startEnvoy(t, h.addr, delta)
		before := len(h.rejections())
		eventually(t, "two proxies are in step", func() bool {
			p := h.server.Proxies()
			return len(p) == 2 && p[1].Types[routes].State == Synced
		})
		if len(h.rejections()) != before {
			t.Errorf("the refused version was sent again: %v", h.rejections()[before:])
		}
		// A new version clears the slate.
		h.publish(with(stack, []*snapshot.Resource{virtualHost(t, "80", "bad", "fine")}))
		eventually(t, "the mended one", func() bool {
			for _, p := range h.server.Proxies() {
				if len(p.Types[routes].Rejected) > 0 {
					return false
				}
			}
			return answers("bad")()
		})
	})
}
