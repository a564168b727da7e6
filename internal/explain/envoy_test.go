package explain_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
)

const (
	cases  = "../../test/conformance/testdata/cases"
	worlds = "../../test/conformance/testdata/worlds"
	// perTable is how many requests are sent to one route table at most.
	perTable = 40
)

// pods are whose configuration is looked at.
const pods = `apiVersion: v1
kind: Pod
metadata: {name: sleep-0, namespace: default, labels: {app: sleep}}
spec: {containers: [{name: sleep}]}
status: {podIP: 10.244.7.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway-0, namespace: istio-system, labels: {istio: ingressgateway, app: istio-ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
status: {podIP: 10.244.7.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
`

// proxy is the configuration of one proxy of one case.
type proxy struct {
	name      string
	resources *explain.Resources
}

// proxiesOf translates the first world of a conformance case.
func proxiesOf(t *testing.T, name string) (out []proxy) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cases, name, "requests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Uses  []string
		Steps []struct{ Apply string }
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	files := []string{filepath.Join(worlds, "sleep.yaml"), filepath.Join(cases, name, "world.yaml")}
	for _, u := range c.Uses {
		files = append(files, filepath.Join(worlds, u+".yaml"))
	}
	if len(c.Steps) > 0 && c.Steps[0].Apply != "" {
		files = append(files, filepath.Join(cases, name, c.Steps[0].Apply))
	}
	directory := t.TempDir()
	for i, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(directory, strconv.Itoa(i)+".yaml"), text)
	}
	write(t, filepath.Join(directory, "pods.yaml"), []byte(pods))
	o, err := operate.ReadOffline(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	for namespace, pod := range map[string]string{"default": "sleep-0", "istio-system": "gateway-0"} {
		w := o.Workload(namespace, pod)
		if w == nil {
			continue // the case leaves the namespace out
		}
		d, err := o.Dump(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		r, err := explain.Decode(d)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, proxy{name + "/" + pod, r})
	}
	return out
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sent is a request with what is expected of it.
type sent struct {
	socket string
	about  string
	want   explain.Answer
	route  string
	method string
	host   string
	path   string
	header http.Header
}

// stage is a static Envoy that has the route tables of many proxies, each
// behind a socket of its own.
type stage struct {
	t         *testing.T
	directory string
	boot      *bootstrapv3.Bootstrap
	requests  []sent
	tables    int
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// add puts the tables of a proxy on the stage. Its routes get names of their
// own, so that the access log tells which was taken, and its clusters the
// proxy's name before theirs. All clusters have an endpoint.
func (s *stage) add(p proxy) {
	prefix := func(name string) string { return p.name + "|" + name }
	for name, c := range p.resources.Clusters {
		static := &clusterv3.Cluster{Name: prefix(name), ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}}
		if name != "BlackHoleCluster" {
			one := &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: pipe(filepath.Join(s.directory, "back"))}}}}}}}
			p.resources.Endpoints[name], c.LoadAssignment = one, one
			static.LoadAssignment = proto.CloneOf(one)
			static.LoadAssignment.ClusterName = prefix(name)
		}
		s.boot.StaticResources.Clusters = append(s.boot.StaticResources.Clusters, static)
	}
	for name, table := range p.resources.Routes {
		for _, h := range table.VirtualHosts {
			for i, r := range h.Routes {
				r.Metadata, r.TypedPerFilterConfig, r.Name = nil, nil, fmt.Sprintf("%s %s %d", name, h.Name, i)
			}
		}
	}
	for _, l := range p.resources.Listeners {
		for _, chain := range append(slices.Clone(l.FilterChains), l.DefaultFilterChain) {
			for _, f := range chain.GetFilters() {
				h := &hcmv3.HttpConnectionManager{}
				if f.GetTypedConfig().UnmarshalTo(h) != nil || chain.TransportSocket != nil || l.TrafficDirection != corev3.TrafficDirection_OUTBOUND {
					continue
				}
				if table := p.resources.Routes[h.GetRds().GetRouteConfigName()]; table != nil {
					s.table(p, l, h, table, prefix)
				}
			}
		}
	}
}

// table is one route table of a proxy, as a listener reads it.
func (s *stage) table(p proxy, l *listenerv3.Listener, h *hcmv3.HttpConnectionManager, table *routev3.RouteConfiguration, prefix func(string) string) {
	port := l.GetAddress().GetSocketAddress().GetPortValue()
	var list []sent
	for _, r := range requestsTo(table) {
		url := fmt.Sprintf("http://%s:%d%s", r.host, port, r.path)
		request, err := explain.NewRequest(r.method, url, r.header)
		if err != nil {
			continue // a host that no URL has
		}
		answer := explain.Explain(p.resources, request)
		r.about, r.want = fmt.Sprintf("%s, %s: %s %s %v", p.name, table.Name, r.method, url, r.header), answer
		if !slices.ContainsFunc(answer.Steps, func(x explain.Step) bool { return x.What == "routes" && x.Name == table.Name }) {
			continue // the port leads to another table
		}
		for _, x := range answer.Steps {
			if x.What == "route" {
				r.route = x.Name
			}
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		return
	}
	s.tables++
	socket := filepath.Join(s.directory, strconv.Itoa(s.tables))
	for i := range list {
		list[i].socket = socket
	}
	s.requests = append(s.requests, list...)
	copied := proto.CloneOf(table)
	for _, vh := range copied.VirtualHosts {
		vh.TypedPerFilterConfig = nil
		for _, r := range vh.Routes {
			prefixed(r.GetRoute(), prefix)
		}
	}
	h.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: copied}
	h.HttpFilters = []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(s.t, &routerv3.Router{})}}}
	h.AccessLog, h.Tracing = []*accesslogv3.AccessLog{s.log()}, nil
	s.boot.StaticResources.Listeners = append(s.boot.StaticResources.Listeners, &listenerv3.Listener{
		Name: socket, Address: pipe(socket), FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(s.t, h)}}}}},
	})
}

// prefixed renames the clusters of a route.
func prefixed(a *routev3.RouteAction, prefix func(string) string) {
	if a == nil {
		return
	}
	if c, ok := a.ClusterSpecifier.(*routev3.RouteAction_Cluster); ok {
		c.Cluster = prefix(c.Cluster)
	}
	for _, c := range a.GetWeightedClusters().GetClusters() {
		c.Name, c.TypedPerFilterConfig = prefix(c.Name), nil
	}
	a.RequestMirrorPolicies, a.RetryPolicy = nil, nil
}

func (s *stage) log() *accesslogv3.AccessLog {
	fields := map[string]*structpb.Value{}
	for name, value := range map[string]string{"number": "%REQ(X-NUMBER)%", "route": "%ROUTE_NAME%", "cluster": "%UPSTREAM_CLUSTER_RAW%", "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%"} {
		fields[name] = structpb.NewStringValue(value)
	}
	return &accesslogv3.AccessLog{Name: "envoy.access_loggers.file", ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(s.t, &filelogv3.FileAccessLog{
		Path: filepath.Join(s.directory, "log"), AccessLogFormat: &filelogv3.FileAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}}}},
	})}}
}

// requestsTo makes requests that meet the routes of a table, and some that
// just do not.
func requestsTo(table *routev3.RouteConfiguration) (out []sent) {
	for _, h := range table.VirtualHosts {
		if slices.ContainsFunc(h.Routes, func(r *routev3.Route) bool { return r.Match.GetRuntimeFraction() != nil }) {
			continue // a matter of chance
		}
		for i, d := range h.Domains {
			host := strings.ReplaceAll(d, "*", "any")
			if strings.ContainsAny(host, ":[") || i > 2 {
				continue
			}
			out = append(out, sent{method: "GET", host: host, path: "/"}, sent{method: "GET", host: strings.ToUpper(host), path: "/Else?a=b"})
			for _, r := range h.Routes {
				out = append(out, meeting(r.Match, host)...)
			}
		}
	}
	if step := len(out)/perTable + 1; step > 1 {
		var some []sent
		for i := 0; i < len(out); i += step {
			some = append(some, out[i])
		}
		out = some
	}
	return append(out, sent{method: "GET", host: "nobody.knows.example", path: "/"})
}

// meeting are requests near to a match.
func meeting(m *routev3.RouteMatch, host string) (out []sent) {
	whole := sent{method: "GET", host: host, header: http.Header{}}
	for _, x := range m.GetHeaders() {
		value := textFor(x.GetStringMatch())
		switch {
		case x.Name == ":method" && strings.Trim(strings.ToUpper(value), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
			whole.method = strings.ToUpper(value)
		case x.Name == ":authority" && value != "" && !strings.ContainsAny(value, ": \\"):
			whole.host = value
		case !strings.HasPrefix(x.Name, ":"):
			whole.header.Set(x.Name, value)
		}
	}
	query := ""
	for _, q := range m.GetQueryParameters() {
		query += "&" + q.Name + "=" + textFor(q.GetStringMatch())
	}
	if query != "" {
		query = "?" + query[1:]
	}
	for _, path := range pathsFor(m) {
		r := whole
		r.path = path + query
		out = append(out, r)
	}
	first := out[0]
	for name := range whole.header {
		r := first
		r.header = whole.header.Clone()
		r.header.Del(name)
		out = append(out, r)
		r.header = whole.header.Clone()
		r.header.Set(name, "another")
		out = append(out, r)
	}
	if query != "" {
		r := first
		r.path, _, _ = strings.Cut(r.path, "?")
		out = append(out, r)
	}
	r := first
	r.method = "POST"
	return append(out, r)
}

func pathsFor(m *routev3.RouteMatch) []string {
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		return []string{p.Path, p.Path + "/", strings.ToUpper(p.Path), escaped(p.Path)}
	case *routev3.RouteMatch_Prefix:
		return []string{p.Prefix, p.Prefix + "more", strings.ToUpper(p.Prefix) + "/x", escaped(p.Prefix) + "/a/..;b/.%2e/x"}
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return []string{p.PathSeparatedPrefix, p.PathSeparatedPrefix + "/x", p.PathSeparatedPrefix + "x"}
	case *routev3.RouteMatch_SafeRegex:
		return []string{plain(p.SafeRegex.GetRegex()), "/" + plain(p.SafeRegex.GetRegex()), "/v1/x"}
	}
	return []string{"/"}
}

// escaped is a path with an escape in place of its last letter.
func escaped(path string) string {
	if n := len(path) - 1; n > 0 && path[n] != '/' {
		return fmt.Sprintf("%s%%%02x", path[:n], path[n])
	}
	return path
}

func textFor(s *matcherv3.StringMatcher) string {
	switch p := s.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return p.Exact
	case *matcherv3.StringMatcher_Prefix:
		return p.Prefix + "x"
	case *matcherv3.StringMatcher_Suffix:
		return "x" + p.Suffix
	case *matcherv3.StringMatcher_Contains:
		return "x" + p.Contains + "x"
	case *matcherv3.StringMatcher_SafeRegex:
		return plain(p.SafeRegex.GetRegex())
	}
	return "x"
}

// plain is a text that an expression may match.
func plain(regex string) string {
	return strings.NewReplacer(".*", "any", ".+", "any", `\.`, ".", `\d+`, "12", "[0-9]+", "12", "[^/]+", "seg", "^", "", "$", "", "(", "", ")", "", "?", "").Replace(regex)
}

// TestExplainAgainstEnvoy asks a real Envoy and Explain where requests go, in
// the worlds of the conformance cases.
func TestExplainAgainstEnvoy(t *testing.T) {
	if testing.Short() {
		t.Skip("runs an Envoy; not with -short")
	}
	directory, err := os.MkdirTemp("", "fwe") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	s := &stage{t: t, directory: directory, boot: &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}}
	list, err := os.ReadDir(cases)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		for _, p := range proxiesOf(t, c.Name()) {
			s.add(p)
		}
	}
	s.start()
	lines := s.send()
	if len(lines) < 500 {
		t.Errorf("only %d requests of %d tables: that proves little", len(lines), s.tables)
	}
	wrong := 0
	for i, r := range s.requests {
		got, ok := lines[strconv.Itoa(i)]
		if problem := differs(r, got); !ok || problem != "" {
			if wrong++; wrong <= 20 {
				t.Errorf("%s\n\texplain: status %d %s, route %q, to %v\n\tEnvoy:   %+v\n\t%s", r.about, r.want.Status, r.want.Flag, r.route, r.want.To, got, problem)
			}
		}
	}
	t.Logf("%d requests to %d route tables of %d cases, %d otherwise than explained", len(s.requests), s.tables, len(list), wrong)
}

// line is one of the access log.
type line struct {
	Number, Route, Cluster, Flags string
	Code                          json.Number
}

// differs says in what Envoy did otherwise than explained; "" in nothing.
func differs(r sent, got line) string {
	if r.route != "" && got.Route != r.route {
		return "another route"
	}
	if len(r.want.To) == 0 {
		if string(got.Code) != strconv.Itoa(r.want.Status) {
			return "another status"
		}
		if r.want.Flag != "" && !strings.Contains(got.Flags, r.want.Flag) {
			return "another flag"
		}
		return ""
	}
	if got.Flags == "NC" { // one of several that the proxy does not have
		said := string(got.Code) + " NC"
		if slices.ContainsFunc(r.want.Steps, func(x explain.Step) bool { return x.What == "answer" && x.Name == said }) {
			return ""
		}
	}
	_, cluster, _ := strings.Cut(got.Cluster, "|")
	if !slices.ContainsFunc(r.want.To, func(x explain.Share) bool { return x.Cluster == cluster }) {
		return "another cluster"
	}
	return ""
}

// start runs the servers behind the clusters, and Envoy.
func (s *stage) start() {
	l, err := net.Listen("unix", filepath.Join(s.directory, "back"))
	if err != nil {
		s.t.Fatal(err)
	}
	back := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
	back.Start()
	s.t.Cleanup(back.Close)
	text, err := protojson.Marshal(s.boot)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.directory, "envoy.json")
	write(s.t, file, text)
	said, err := os.Create(filepath.Join(s.directory, "said"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Path(s.t), "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error", "--file-flush-interval-msec", "100")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); said.Close() })
	last := filepath.Join(s.directory, strconv.Itoa(s.tables))
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", last); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(said.Name())
			s.t.Fatalf("Envoy does not start:\n%.4000s", text)
		}
	}
}

// send sends all requests and returns the lines of the access log by number.
func (s *stage) send() map[string]line {
	client := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.directory, host))
	}, ResponseHeaderTimeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	for i, r := range s.requests {
		request, err := http.NewRequestWithContext(s.t.Context(), r.method, "http://"+filepath.Base(r.socket)+r.path, http.NoBody)
		if err != nil {
			s.t.Fatalf("%s: %v", r.about, err)
		}
		if r.header != nil {
			request.Header = r.header.Clone()
		}
		request.Host = r.host
		request.Header.Set("X-Number", strconv.Itoa(i))
		response, err := client.RoundTrip(request) // a client would read the places of redirects, which may be none
		if err != nil {
			s.t.Fatalf("%s: %v", r.about, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	lines := map[string]line{}
	for deadline := time.Now().Add(20 * time.Second); len(lines) < len(s.requests) && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		file, err := os.Open(filepath.Join(s.directory, "log"))
		if err != nil {
			continue
		}
		for scan := bufio.NewScanner(file); scan.Scan(); {
			var l line
			if json.Unmarshal(scan.Bytes(), &l) == nil {
				lines[l.Number] = l
			}
		}
		file.Close()
	}
	return lines
}
