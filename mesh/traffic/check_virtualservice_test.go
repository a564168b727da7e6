package traffic

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func virtualServiceSpec(t testing.TB, text string) *networking.VirtualService {
	t.Helper()
	var vs networkingv1.VirtualService
	if err := yaml.UnmarshalStrict([]byte("spec: "+text), &vs); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return &vs.Spec
}

const toWeb = `route: [{destination: {host: web}}]`

func TestCheckVirtualService(t *testing.T) {
	for _, c := range []struct {
		name, http string
		kept       []string // fields of the rules that are served
		findings   []string // code and field of each
	}{
		{"all well", `[{match: [{uri: {prefix: /a}}], ` + toWeb + `}, {` + toWeb + `}]`, []string{"spec.http[0]", "spec.http[1]"}, nil},
		{"empty", `[{}]`, nil, []string{"Unsupported spec.http[0]"}},
		{"one bad match of two", `[{match: [{uri: {regex: "("}}, {uri: {exact: /}}], ` + toWeb + `}]`, []string{"spec.http[0]"}, []string{"Invalid spec.http[0].match[0].uri.regex"}},
		{"the only match is bad", `[{match: [{method: {regex: "("}}], ` + toWeb + `}, {` + toWeb + `}]`, []string{"spec.http[1]"}, []string{"Invalid spec.http[0].match[0].method.regex"}},
		{"row 8: the old star", `[{match: [{headers: {a: {regex: "*"}}}], ` + toWeb + `}]`, []string{"spec.http[0]"}, nil},
		{"a star is no path", `[{match: [{uri: {regex: "*"}}], ` + toWeb + `}]`, nil, []string{"Invalid spec.http[0].match[0].uri.regex"}},
		{"a huge regex", `[{match: [{uri: {regex: "((a{100}){100}){2}"}}], ` + toWeb + `}]`, nil, []string{"Invalid spec.http[0].match[0].uri.regex"}},
		{"row 17: one alone needs no weight", `[{route: [{destination: {host: web}, weight: 0}]}]`, []string{"spec.http[0]"}, nil},
		{"row 17: all zero", `[{route: [{destination: {host: web}}, {destination: {host: a}}]}]`, nil, []string{"Invalid spec.http[0].route"}},
		{"row 17: whatever the sum", `[{route: [{destination: {host: web}, weight: 2147483647}, {destination: {host: a}, weight: 2147483647}, {destination: {host: b}, weight: 2}]}]`, []string{"spec.http[0]"}, nil},
		{"row 19: header operations", `[{headers: {request: {set: {":path": x}, remove: [host]}}, ` + toWeb + `}]`, []string{"spec.http[0]"},
			[]string{"Invalid spec.http[0].headers.request.set[:path]", "Invalid spec.http[0].headers.request.remove[0]"}},
		{"row 22: a long answer", `[{directResponse: {status: 200, body: {string: "` + strings.Repeat("x", maxBody+1) + `"}}}]`, nil, []string{"Invalid spec.http[0].directResponse.body"}},
		{"row 26: a timeout of nothing", `[{timeout: 0s, ` + toWeb + `}]`, []string{"spec.http[0]"}, nil},
		{"row 33: a delegate without a name", `[{delegate: {}}]`, nil, []string{"Invalid spec.http[0].delegate.name"}},
		{"shadowed by a prefix", `[{match: [{uri: {prefix: /a}}], ` + toWeb + `}, {match: [{uri: {exact: /a/b}, method: {exact: GET}}], ` + toWeb + `}]`,
			[]string{"spec.http[0]", "spec.http[1]"}, []string{"Shadowed spec.http[1].match[0]"}},
		{"not shadowed by a narrower one", `[{match: [{uri: {prefix: /a}, port: 80}], ` + toWeb + `}, {match: [{uri: {prefix: /a}}], ` + toWeb + `}]`,
			[]string{"spec.http[0]", "spec.http[1]"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := virtualServiceSpec(t, `{hosts: [web], http: `+c.http+`}`)
			before := proto.CloneOf(spec)
			vs := &VirtualService{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "default", Name: "web"}}
			var findings []object.Finding
			vs.Spec, vs.origins, findings = checkVirtualService(vs.Ref, spec)
			var kept, found []string
			for i := range vs.Spec.Http {
				kept = append(kept, vs.HTTPOrigin(i).Field)
			}
			for _, f := range findings {
				found = append(found, fmt.Sprintf("%s %s", f.Code, f.Field))
			}
			if !slices.Equal(kept, c.kept) {
				t.Errorf("served: %q, not %q", kept, c.kept)
			}
			if !slices.Equal(found, c.findings) {
				t.Errorf("found: %q, not %q", found, c.findings)
			}
			if !proto.Equal(spec, before) {
				t.Error("the input was modified")
			}
			if len(findings) == 0 && vs.Spec != spec {
				t.Error("nothing was wrong, and yet a copy was made")
			}
		})
	}
}

func TestCheckSubstitution(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "/a": true, `\0\1`: true, `\\`: true, `\2`: false, `\`: false, `a\x`: false, "a\nb": false, "$1": true} {
		if err := checkSubstitution(text, 1); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestBothMatch: row 33, a delegate gets only requests that its root gives it.
func TestBothMatch(t *testing.T) {
	for _, c := range []struct{ root, own, want string }{
		{`{uri: {prefix: /a}}`, `{uri: {prefix: /a/b}}`, `{uri: {prefix: /a/b}}`},
		{`{uri: {prefix: /a}}`, `{uri: {exact: /b}}`, ``},
		{`{uri: {prefix: /a}, ignoreUriCase: true}`, `{headers: {x: {exact: "1"}}}`, `{uri: {prefix: /a}, ignoreUriCase: true, headers: {x: {exact: "1"}}}`},
		{`{uri: {exact: /a}}`, `{uri: {prefix: /a}}`, ``},
		{`{uri: {regex: "a+"}}`, `{uri: {regex: "a+"}}`, `{uri: {regex: "a+"}}`},
		{`{uri: {regex: "a+"}}`, `{uri: {exact: a}}`, ``},
		{`{method: {exact: GET}}`, `{method: {exact: POST}}`, ``},
		{`{headers: {x: {}}}`, `{headers: {x: {exact: "1"}}}`, `{headers: {x: {exact: "1"}}}`},
		{`{headers: {x: {exact: "1"}}, port: 80}`, `{queryParams: {q: {exact: "1"}}}`, `{headers: {x: {exact: "1"}}, port: 80, queryParams: {q: {exact: "1"}}}`},
		{`{port: 80}`, `{port: 81}`, ``},
		{`{sourceLabels: {a: b}}`, `{sourceLabels: {c: d}}`, `{sourceLabels: {a: b, c: d}}`},
		{`{sourceLabels: {a: b}}`, `{sourceLabels: {a: c}}`, ``},
		{`{gateways: [mesh, x/y]}`, `{gateways: [x/y]}`, `{gateways: [x/y]}`},
		{`{gateways: [mesh]}`, `{gateways: [x/y]}`, ``},
		{`{name: root}`, `{name: own, sourceNamespace: qa}`, `{name: root-own, sourceNamespace: qa}`},
	} {
		match := func(text string) *networking.HTTPMatchRequest {
			return virtualServiceSpec(t, `{http: [{match: [`+text+`]}]}`).Http[0].Match[0]
		}
		got, ok := bothMatch(match(c.root), match(c.own))
		if ok != (c.want != "") || ok && !proto.Equal(got, match(c.want)) {
			t.Errorf("root %s, own %s: %v %v, not %s", c.root, c.own, got, ok, c.want)
		}
	}
}

func TestCheckRegex(t *testing.T) {
	for text, ok := range map[string]bool{
		"a": true, "": false, "(": false, "a(?=b)": false, `\1`: false, "a{1001}": false, `\x{ff}`: true, `\x{100}`: false, `\\x{100}`: true, `\x41`: true, "(?<n>a)": true,
	} {
		if _, err := new(ruleCheck).checkRegex(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzRegexCost(f *testing.F) {
	for _, s := range []string{"a", "(", `\pN{1,20}`, "(a|b)*", "(?i)é", "((a{100}){100})"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		groups, err := new(ruleCheck).checkRegex(text)
		if cost := RegexCost(text); err == nil && (cost <= 0 || cost > maxRegex || groups < 0) {
			t.Errorf("%q is let through with a cost of %d", text, cost)
		}
	})
}
