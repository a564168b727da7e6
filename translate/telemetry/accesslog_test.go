package telemetry

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

func TestPlausibleFormat(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "plain": true, "%%": true, "100%% %PROTOCOL%": true, textFormat: true, "%REQ(X?Y):10%": true, "%START_TIME(%Y/%m/%dT%H:%M:%S%z)%": true,
		"%CEL(request.headers['a'] == 'b' ? 'c' : 'd')%": true, "%METADATA(CLUSTER:a:b)%": true,
		"%": false, "100%": false, "%NOPE%": false, "%REQ(X%": false, "%req(x)%": false, "% PROTOCOL%": false,
	} {
		if got := plausibleFormat(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	for k, v := range jsonFormat {
		if !plausibleFormat(v) {
			t.Errorf("%s: %s", k, v)
		}
	}
}

func TestLogChoices(t *testing.T) {
	named := func(mode telemetryapi.WorkloadMode, filter string, disabled bool, providers ...string) *telemetryapi.AccessLogging {
		a := &telemetryapi.AccessLogging{Match: &telemetryapi.AccessLogging_LogSelector{Mode: mode}}
		for _, p := range providers {
			a.Providers = append(a.Providers, &telemetryapi.ProviderRef{Name: p})
		}
		if filter != "" {
			a.Filter = &telemetryapi.AccessLogging_Filter{Expression: filter}
		}
		if disabled {
			a.Disabled = wrapperspb.Bool(true)
		}
		return a
	}
	const both, client, server = telemetryapi.WorkloadMode_CLIENT_AND_SERVER, telemetryapi.WorkloadMode_CLIENT, telemetryapi.WorkloadMode_SERVER
	for _, c := range []struct {
		name     string
		file     string
		defaults []string
		levels   [][]*telemetryapi.AccessLogging
		out, in  string // of outbound and inbound traffic
	}{
		{name: "nothing asked for"},
		{name: "of the mesh", file: "/dev/stdout", out: "mesh", in: "mesh"},
		{name: "default providers", defaults: []string{"a", "b"}, out: "a b", in: "a b"},
		{name: "on by Telemetry", levels: [][]*telemetryapi.AccessLogging{{named(both, "", false, "envoy")}}, out: "envoy", in: "envoy"},
		{name: "on without provider", levels: [][]*telemetryapi.AccessLogging{{named(both, "", false)}}, out: "envoy", in: "envoy"},
		{name: "off for clients", file: "x", levels: [][]*telemetryapi.AccessLogging{{named(client, "", true)}}, in: "mesh"},
		{name: "off far away, on near", file: "x", levels: [][]*telemetryapi.AccessLogging{{named(both, "", true)}, {named(server, "", false)}}, in: "mesh"},
		{name: "near replaces far", levels: [][]*telemetryapi.AccessLogging{{named(both, "", false, "a")}, {named(both, "", false, "b"), named(both, "", false, "c")}}, out: "b c", in: "b c"},
		{name: "off by name", levels: [][]*telemetryapi.AccessLogging{{named(both, "", false, "a")}, {named(both, "", true, "a")}}},
		{name: "filter", file: "x", levels: [][]*telemetryapi.AccessLogging{{named(both, "f", false)}}, out: "mesh:f", in: "mesh:f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := mesh.DefaultConfig()
			config.AccessLogFile = c.file
			config.DefaultProviders = &meshconfig.MeshConfig_DefaultProviders{AccessLogging: c.defaults}
			var levels []*mesh.Telemetry
			for _, l := range c.levels {
				levels = append(levels, &mesh.Telemetry{Spec: &telemetryapi.Telemetry{AccessLogging: l}})
			}
			for direction, want := range map[resource.Direction]string{resource.Outbound: c.out, resource.Gateway: c.out, resource.Inbound: c.in} {
				var got []string
				for _, l := range (Report{Reporting: Reporting{Telemetries: mesh.ListOf(levels...)}, direction: direction, config: config}).logChoices() {
					name := l.provider
					if name == meshLog {
						name = "mesh"
					}
					if l.filter != "" {
						name += ":" + l.filter
					}
					got = append(got, name)
				}
				if s := strings.Join(got, " "); s != want {
					t.Errorf("direction %d: %q, want %q", direction, s, want)
				}
			}
		})
	}
}

// FuzzPlausible: what is taken for a format never ends the search before its end.
func FuzzPlausible(f *testing.F) {
	for _, s := range []string{textFormat, "%%%", "%REQ(", "%REQ()%:", "a['"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if plausibleFormat(s) && strings.Count(s, "%")%2 == 1 && !strings.Contains(s, "(") {
			t.Errorf("%q has a lonely percent sign", s)
		}
	})
}
