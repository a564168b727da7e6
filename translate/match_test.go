package translate

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestEnvoyTakesRegexes: whatever regular expression the mesh lets through,
// Envoy takes, also those above its own limit of size.
func TestEnvoyTakesRegexes(t *testing.T) {
	envoy := envoytest.Path(t)
	long := make([]string, 200)
	for i := range long {
		long[i] = strings.Repeat("/x", i%5) + "/[a-z]+/.*"
	}
	vh := &routev3.VirtualHost{Name: "regexes"}
	for _, text := range []string{
		"a", "a+", ".*", "^(.*?;)?\\s*(user=yunqi[^;]*)(;.*)?$", "(?<name>x)", "(?P<name>x)", "a{1000}", "\\pN", "\\p{Greek}", "\\pZ\\PL", "[[:word:]]+", "\\Qa.b\\E",
		"(?i)a|b", "(?U)a+", "[^\\x00-\\x7F]{3}", "é+", "[é-ü]{1,9}", "\\x{FF}", "(?:a+)+", "^*", "(|)*", "(?m)^a$", "\\b\\B", ".{40}", ".{200}",
		strings.Repeat("a", 3000), strings.Join(long, "|"), "(?i)" + strings.Repeat("k", 40), "(([a-z]{20}){10}){3}", strings.Repeat("[α-ω]", 8), strings.Repeat("(?i)[α-ω]", 3),
		"(?s).{12}", "\\d{30}", "\\w{50}", "(\\pL|\\pN)*", "[\\pL\\pN]",
	} {
		if traffic.RegexCost(text) == 0 {
			t.Errorf("%.60q is not let through", text)
			continue
		}
		vh.Routes = append(vh.Routes, &routev3.Route{
			Match:  routeMatch(&networking.HTTPMatchRequest{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: text}}}),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
		})
	}
	for _, r := range vh.Routes { // one by one, to name the culprit
		if out, err := validateRoutes(t, envoy, []*routev3.VirtualHost{{Name: "regex", Routes: []*routev3.Route{r}}}); err != nil {
			t.Errorf("%.80q: %.300s", r.GetMatch().GetSafeRegex().GetRegex(), out)
		}
	}
}

// TestCatchAll: row 6, what ends a list of routes.
func TestCatchAll(t *testing.T) {
	prefix := func(s string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: s}}
	}
	regex := func(s string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: s}}
	}
	for _, c := range []struct {
		name  string
		match *networking.HTTPMatchRequest
		want  bool
	}{
		{"nothing", &networking.HTTPMatchRequest{}, true},
		{"every path", &networking.HTTPMatchRequest{Uri: prefix("/")}, true},
		{"every path by regex", &networking.HTTPMatchRequest{Uri: regex(".*")}, true},
		{"some paths", &networking.HTTPMatchRequest{Uri: prefix("/a")}, false},
		{"some by regex", &networking.HTTPMatchRequest{Uri: regex("/.*")}, false},
		{"a header", &networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{"a": nil}}, false},
		{"a claim", &networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{"@request.auth.claims.a": prefix("b")}}, false},
		{"a parameter", &networking.HTTPMatchRequest{QueryParams: map[string]*networking.StringMatch{"a": nil}}, false},
		{"only the port, which the listener has", &networking.HTTPMatchRequest{Port: 80}, true},
	} {
		if got := CatchAll(&routev3.Route{Match: routeMatch(c.match)}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestJWTClaim(t *testing.T) {
	for in, want := range map[string]string{
		"@request.auth.claims.a":       "a",
		"@request.auth.claims.a.b":     "a b",
		"@request.auth.claims[a.b][c]": "a.b c",
		"@request.auth.claims":         "",
		"@request.auth.claims.":        "",
		"@request.auth.claims[a":       "",
		"@request.auth.claims[]":       "",
		"@request.auth.claims[a]b":     "",
		"x-request.auth.claims.a":      "",
	} {
		path, ok := jwtClaim(in)
		if got := strings.Join(path, " "); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v", in, got, ok)
		}
	}
}
