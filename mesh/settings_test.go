package mesh

import (
	"slices"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestSettings(t *testing.T) {
	long := Settings{OwnedGatewayHosts: true, LocalEndpoints: "ops, infra", RouteHold: 500 * time.Millisecond, NamedSecrets: 7, SubsetClusters: 12, ExportedResources: 13,
		IssuerKeysWritten: true, IssuerAddresses: "10.96.0.0/12, ::1/128", IssuerRefresh: time.Minute, ListenerDrain: 45 * time.Second, LearnedFor: time.Hour}
	for _, c := range []struct {
		name, text string
		want       Settings
		findings   []string
	}{
		{"none", "trustDomain: example.org", DefaultSettings(), nil},
		{"empty", "fairway:", DefaultSettings(), nil},
		{"all", "fairway: {gatewayHosts: owned, localEndpoints: 'ops, infra', routeHold: 500ms, namedSecrets: 7, subsetClusters: 12, exportedResources: 13, issuerKeys: written, issuerAddresses: '10.96.0.0/12, ::1/128', issuerRefresh: 1m, listenerDrain: 45s, learnedFor: 1h}", long, nil},
		{"not a map", "fairway: [1]", DefaultSettings(), []string{"fairway"}},
		{"unknown beside known", "fairway: {routeHolds: 1s, routeHold: 0s}", Settings{NamedSecrets: DefaultSettings().NamedSecrets, SubsetClusters: DefaultSettings().SubsetClusters, ExportedResources: DefaultSettings().ExportedResources, IssuerRefresh: DefaultSettings().IssuerRefresh, ListenerDrain: DefaultSettings().ListenerDrain, LearnedFor: DefaultSettings().LearnedFor}, []string{"fairway.routeHolds"}},
		{"bad values keep the defaults", "fairway: {routeHold: 31s, gatewayHosts: mine, localEndpoints: [a], subsetClusters: 0, issuerKeys: mine, issuerAddresses: '10.0.0.0/8, 10', issuerRefresh: 1s}", DefaultSettings(),
			[]string{"fairway.gatewayHosts", "fairway.issuerAddresses", "fairway.issuerKeys", "fairway.issuerRefresh", "fairway.localEndpoints", "fairway.routeHold", "fairway.subsetClusters"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, findings, err := parseConfig(object.Ref{Name: "istio"}, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var fields []string
			for _, f := range findings {
				fields = append(fields, f.Field)
			}
			if got.Settings != c.want || !slices.Equal(fields, c.findings) {
				t.Errorf("got %+v with findings on %q, want %+v and %q", got.Settings, fields, c.want, c.findings)
			}
		})
	}
	for ns, want := range map[string]bool{"ops": true, "infra": true, "other": false, "": false} {
		if got := long.MayLeadInside(ns); got != want {
			t.Errorf("objects of namespace %q may lead inside: %v, want %v", ns, got, want)
		}
	}
	if !(Settings{LocalEndpoints: "*"}).MayLeadInside("any") {
		t.Error("* does not stand for every namespace")
	}
}
