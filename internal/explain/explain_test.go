package explain_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
)

// resourcesOf translates the mesh of the operator commands for one of its pods.
func resourcesOf(t *testing.T, pod string) *explain.Resources {
	t.Helper()
	o, err := operate.ReadOffline(t.Context(), "../operate/testdata/mesh")
	if err != nil {
		t.Fatal(err)
	}
	d, err := o.Dump(t.Context(), o.Workload("default", pod))
	if err != nil {
		t.Fatal(err)
	}
	r, err := explain.Decode(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExplain(t *testing.T) {
	const cluster = "outbound|80|%|reviews.default.svc.cluster.local"
	subset := func(s string) string { return strings.Replace(cluster, "%", s, 1) }
	vip, db := netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("10.96.0.11")
	for name, c := range map[string]struct {
		pod, method, url string
		header           http.Header
		to               netip.Addr
		clusters         string // with their percents
		status           int
		flag             string
		rule             string // that a step names
	}{
		"by header":            {pod: "client", url: "http://reviews/reviews/1", header: http.Header{"End-User": {"jason"}}, to: vip, clusters: subset("v2") + " 100", rule: "http[0]"},
		"another value":        {pod: "client", url: "http://reviews/reviews/1", header: http.Header{"End-User": {"eve"}}, to: vip, clusters: subset("v1") + " 100", rule: "http[5]"},
		"by full name":         {pod: "client", url: "http://reviews.default.svc.cluster.local/reviews", to: vip, clusters: subset("v1") + " 100"},
		"by address":           {pod: "client", url: "http://10.96.0.10/reviews", to: vip, clusters: subset("v1") + " 100"},
		"split":                {pod: "client", url: "http://reviews/split", to: vip, clusters: subset("v1") + " 75, " + subset("v2") + " 25", rule: "http[4]"},
		"no endpoint":          {pod: "client", url: "http://reviews/none", to: vip, status: 503, flag: "UH", rule: "http[1]"},
		"exact is exact":       {pod: "client", url: "http://reviews/none/", to: vip, status: 404, flag: "NR"},
		"redirect":             {pod: "client", method: "POST", url: "http://reviews/item/12?q=1", to: vip, status: 302, rule: "http[3]"},
		"regex matches all":    {pod: "client", method: "POST", url: "http://reviews/item/12x?q=1", to: vip, status: 404, flag: "NR"},
		"wrong query":          {pod: "client", method: "POST", url: "http://reviews/item/12?q=2", to: vip, status: 404, flag: "NR"},
		"wrong method":         {pod: "client", url: "http://reviews/item/12?q=1", to: vip, status: 404, flag: "NR"},
		"unknown host":         {pod: "client", url: "http://elsewhere.example/", clusters: "PassthroughCluster 100"},
		"unknown port":         {pod: "client", url: "http://elsewhere.example:8888/", clusters: "PassthroughCluster 100"},
		"tls to an http port":  {pod: "client", url: "https://elsewhere.example:80/", clusters: "PassthroughCluster 100"},
		"tcp without endpoint": {pod: "client", url: "tcp://db:5432", to: db, flag: "UH"},
		"gateway":              {pod: "edge", url: "http://localhost:8080/reviews/1", header: http.Header{"Host": {"bookinfo.example:8080"}}, clusters: subset("") + " 100", rule: "default/bookinfo, http[0]"},
		"gateway, other host":  {pod: "edge", url: "http://localhost:8080/reviews/1", status: 404, flag: "NR"},
		"gateway, other port":  {pod: "edge", url: "http://bookinfo.example:9999/"},
	} {
		t.Run(name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			request, err := explain.NewRequest(method, c.url, c.header)
			if err != nil {
				t.Fatal(err)
			}
			if c.to.IsValid() {
				request.Destination = c.to
			}
			a := explain.Explain(resourcesOf(t, c.pod), request)
			var got []string
			for _, s := range a.To {
				got = append(got, s.String())
			}
			if g := strings.Join(got, ", "); g != c.clusters || a.Status != c.status || a.Flag != c.flag {
				t.Errorf("goes to %q, answers %d %s; want %q, %d %s\n%s", g, a.Status, a.Flag, c.clusters, c.status, c.flag, words(a))
			}
			if !strings.Contains(words(a), c.rule) {
				t.Errorf("no rule %q in\n%s", c.rule, words(a))
			}
		})
	}
}

func words(a explain.Answer) string {
	var b strings.Builder
	for _, s := range a.Steps {
		b.WriteString(s.What + " " + s.Name + ": " + s.Why + "\n")
	}
	return b.String()
}

func TestURLsThatCannotBeAsked(t *testing.T) {
	for _, url := range []string{"reviews", "ftp://reviews", "tcp://db", "http://", "http://a:99999/", "http://a b/"} {
		if _, err := explain.NewRequest("GET", url, nil); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
}

func FuzzNewRequest(f *testing.F) {
	f.Add("http://reviews:80/a?b=c", "Host", "x:80")
	f.Add("tcp://[::1]:5432", "host", "")
	o := &explain.Resources{}
	f.Fuzz(func(_ *testing.T, url, name, value string) {
		if r, err := explain.NewRequest("GET", url, http.Header{name: {value}}); err == nil {
			explain.Explain(o, r)
		}
	})
}
