package debug

import (
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestProgressPage: the page answers for the objects that are named, within its bounds.
func TestProgressPage(t *testing.T) {
	h := Handler(Config{Metrics: prometheus.NewRegistry(), Ready: func() error { return nil }, Progress: func(of []object.Ref) (out []Progress) {
		for _, ref := range of {
			out = append(out, Progress{Object: ref.String(), Generation: 3})
		}
		return out
	}})
	for _, ref := range []object.Ref{
		{Kind: object.KindVirtualService, Namespace: "shop", Name: "web"},
		{Kind: object.KindHTTPRoute, Namespace: "shop", Name: "web"},
		{Kind: object.KindGatewayClass, Name: "fairway"},
	} {
		code, body := from(h, "127.0.0.1:1", "/debug/progressz?object="+url.QueryEscape(RefText(ref)), "")
		if code != 200 || !strings.Contains(body, `"object": "`+ref.String()+`"`) {
			t.Errorf("%v: %d %s", ref, code, body)
		}
	}
	many := strings.Repeat("object=VirtualService/shop/web&", MaxAwaited+1)
	for _, query := range []string{"", "?object=", "?object=web", "?object=shop/web", "?object=/shop/web", "?object=VirtualService/shop/", "?" + many} {
		if code, body := from(h, "127.0.0.1:1", "/debug/progressz"+query, ""); code != 400 {
			t.Errorf("%.40q: %d %s", query, code, body)
		}
	}
	if code, _ := from(h, "10.0.0.9:1", "/debug/progressz?object=VirtualService/shop/web", ""); code == 200 {
		t.Error("strangers may read it")
	}
}
