package traffic

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func destinationSpec(t testing.TB, text string) *networking.DestinationRule {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spec := &networking.DestinationRule{}
	if err := protojson.Unmarshal(js, spec); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return spec
}

// TestCheckDestinationRule: what is left out of a policy, what the finding is
// about, and that everything else stays (rows 50 to 66).
func TestCheckDestinationRule(t *testing.T) {
	for _, c := range []struct {
		row, policy string
		left        string // the policy that stays; "": all of it
		code        object.Code
		field       string // the end of it
	}{
		{"50 no port", `{portLevelSettings: [{loadBalancer: {simple: RANDOM}}, {port: {number: 80}}]}`, `{portLevelSettings: [{port: {number: 80}}]}`, object.CodeInvalid, "portLevelSettings"},
		{"50 twice", `{portLevelSettings: [{port: {number: 80}}, {port: {number: 80}, tls: {}}]}`, `{portLevelSettings: [{port: {number: 80}}]}`, object.CodeInvalid, "portLevelSettings"},
		{"50 in a port", `{portLevelSettings: [{port: {number: 80}, outlierDetection: {maxEjectionPercent: 101}}]}`, `{portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}`, object.CodeInvalid, "portLevelSettings[port 80].outlierDetection.maxEjectionPercent"},
		{"52 nothing to hash", `{loadBalancer: {consistentHash: {}, localityLbSetting: {enabled: false}}}`, `{loadBalancer: {localityLbSetting: {enabled: false}}}`, object.CodeInvalid, "consistentHash"},
		{"52 empty header", `{loadBalancer: {consistentHash: {httpHeaderName: ""}}}`, `{loadBalancer: {}}`, object.CodeInvalid, "consistentHash"},
		{"52 cookie without name", `{loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}}`, `{loadBalancer: {}}`, object.CodeInvalid, "consistentHash"},
		{"52 no prime", `{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1000}}}}`, `{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}`, object.CodeInvalid, "maglev.tableSize"},
		{"52 huge ring", `{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 99999999}}}}`, `{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {}}}}`, object.CodeInvalid, "ringHash.minimumRingSize"},
		{"53 failover to itself", `{loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}, {from: a, to: b}]}}}`, `{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}`, object.CodeInvalid, "failover[a]"},
		{"54 and failover", `{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]}}}`, `{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}]}}}`, object.CodeInvalid, "localityLbSetting"},
		{"54 not 100", `{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 60, b: 30}}, {from: b, to: {b: 100}}]}}}`, `{loadBalancer: {localityLbSetting: {distribute: [{from: b, to: {b: 100}}]}}}`, object.CodeInvalid, "distribute[a]"},
		{"56 zone aware", `{loadBalancer: {zoneAwareLbSetting: {enabled: true}}}`, "", object.CodeUnsupported, "zoneAwareLbSetting"},
		{"57 warmup of RANDOM", `{loadBalancer: {simple: RANDOM, warmupDurationSecs: 10s}}`, "", object.CodeUnsupported, "warmup"},
		{"57 aggression", `{loadBalancer: {warmup: {duration: 10s, aggression: 0.5}}}`, `{loadBalancer: {warmup: {duration: 10s}}}`, object.CodeInvalid, "warmup.aggression"},
		{"58 negative timeout", `{connectionPool: {tcp: {connectTimeout: -1s, maxConnections: 5}}}`, `{connectionPool: {tcp: {maxConnections: 5}}}`, object.CodeInvalid, "tcp.connectTimeout"},
		{"58 longer than Envoy counts", `{connectionPool: {tcp: {idleTimeout: 315576000000s, maxConnections: 5}}}`, `{connectionPool: {tcp: {maxConnections: 5}}}`, object.CodeInvalid, "tcp.idleTimeout"},
		{"58 negative limit", `{connectionPool: {tcp: {maxConnections: -1}}}`, `{connectionPool: {tcp: {}}}`, object.CodeInvalid, "tcp.maxConnections"},
		{"59 two wishes", `{connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}`, "", object.CodeUnsupported, "h2UpgradePolicy"},
		{"60 percent", `{outlierDetection: {minHealthPercent: -1, interval: 1s}}`, `{outlierDetection: {interval: 1s}}`, object.CodeInvalid, "minHealthPercent"},
		{"60 too short", `{outlierDetection: {interval: 0.0001s}}`, `{outlierDetection: {}}`, object.CodeInvalid, "interval"},
		{"61 codes", `{outlierDetection: {outlierDetectionHttpErrorCodes: [99, 429]}}`, `{outlierDetection: {outlierDetectionHttpErrorCodes: [429]}}`, object.CodeInvalid, "outlierDetectionHttpErrorCodes"},
		{"61 budget", `{retryBudget: {percent: 120}}`, `{retryBudget: {}}`, object.CodeInvalid, "retryBudget.percent"},
		{"62 no certificate", `{tls: {mode: MUTUAL}}`, "", object.CodeUnsupported, "tls"},
		{"62 SIMPLE sends none", `{tls: {mode: SIMPLE, clientCertificate: /a, privateKey: /b}}`, "", object.CodeUnsupported, "tls"},
		{"63 its own", `{tls: {mode: ISTIO_MUTUAL, credentialName: a}}`, "", object.CodeUnsupported, "tls"},
		{"64 both", `{tls: {mode: SIMPLE, credentialName: a, caCertificates: /a}}`, "", object.CodeUnsupported, "tls.credentialName"},
		{"66 protocol", `{tunnel: {protocol: GET, targetHost: a, targetPort: 1}}`, "{}", object.CodeInvalid, "tunnel.protocol"},
		{"66 host", `{tunnel: {targetHost: "*.a", targetPort: 1}}`, "{}", object.CodeInvalid, "tunnel.targetHost"},
		{"66 port", `{tunnel: {targetHost: a}}`, "{}", object.CodeInvalid, "tunnel.targetPort"},
	} {
		t.Run(c.row, func(t *testing.T) {
			spec := destinationSpec(t, `{host: a, trafficPolicy: `+c.policy+`, subsets: [{name: v1, trafficPolicy: `+c.policy+`}]}`)
			before := proto.CloneOf(spec)
			got, findings := checkDestinationRule(object.Ref{Kind: object.KindDestinationRule, Namespace: "default", Name: "a"}, spec)
			if !proto.Equal(before, spec) {
				t.Fatal("the object was changed")
			}
			want := spec
			if c.left != "" {
				want = destinationSpec(t, `{host: a, trafficPolicy: `+c.left+`, subsets: [{name: v1, trafficPolicy: `+c.left+`}]}`)
			}
			if !proto.Equal(want, got) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			if len(findings) != 2 {
				t.Fatalf("got %v, want one finding for the rule and one for its subset", findings)
			}
			for i, prefix := range []string{"spec.trafficPolicy.", "spec.subsets[0].trafficPolicy."} {
				f := findings[i]
				if f.Code != c.code || !strings.HasPrefix(f.Field, prefix) || !strings.HasSuffix(f.Field, c.field) || f.Message == "" {
					t.Errorf("got %+v, want %s of %s…%s", f, c.code, prefix, c.field)
				}
			}
		})
	}
}

// TestCheckDestinationRuleKeepsPointers: a rule in which nothing is wrong is
// used as it came, so that what was made of it stays what it was.
func TestCheckDestinationRuleKeepsPointers(t *testing.T) {
	o := &networkingv1.DestinationRule{}
	o.Spec.Host = "a"
	o.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE}}
	r, findings := ParseDestinationRule(o, object.Domain)
	if len(findings) > 0 || r.Policy != o.Spec.TrafficPolicy {
		t.Errorf("a good rule was changed: %v", findings)
	}
}

// TestRulesAskForNodes is about row 55: a rule that ranks endpoints by node
// tells clients on different nodes apart.
func TestRulesAskForNodes(t *testing.T) {
	for entry, want := range map[string]bool{"kubernetes.io/hostname": true, "kubernetes.io/hostname=a": false, "team": false} {
		p := &networking.TrafficPolicy{LoadBalancer: &networking.LoadBalancerSettings{LocalityLbSetting: &networking.LocalityLoadBalancerSetting{FailoverPriority: []string{entry}}}}
		got := false
		for _, a := range AsksOfPolicy(p) {
			got = got || a.Node
		}
		if got != want {
			t.Errorf("%s asks for the node: %v", entry, got)
		}
	}
}

// FuzzCheckDestinationRule: a rule that was checked has nothing left to leave
// out, and none of it makes the check fail.
func FuzzCheckDestinationRule(f *testing.F) {
	f.Add([]byte(`{"host":"a","trafficPolicy":{"loadBalancer":{"consistentHash":{}},"portLevelSettings":[null,{}]}}`))
	f.Add([]byte(`{"subsets":[{"trafficPolicy":{"outlierDetection":{"interval":"-1s"}}}],"workloadSelector":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		spec := &networking.DestinationRule{}
		if err := protojson.Unmarshal(text, spec); err != nil {
			t.Skip()
		}
		once, _ := checkDestinationRule(object.Ref{}, spec)
		twice, findings := checkDestinationRule(object.Ref{}, once)
		if !proto.Equal(once, twice) {
			t.Fatalf("checked twice: %v", findings)
		}
		for _, found := range findings {
			if found.Code == object.CodeInvalid {
				t.Errorf("still %v", found)
			}
		}
	})
}
