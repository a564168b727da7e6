package bootstrap

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// run is the command as a user runs it.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := NewCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.Execute()
	return out.String(), err
}

func TestGolden(t *testing.T) {
	for name, args := range map[string]string{
		"sidecar-plaintext": "--pod web-1 --namespace shop --ip 10.0.0.7 --service-account web --workload web --label app=web --xds-address 127.0.0.1:15010 --plaintext",
		"sidecar-tls":       "--xds-address fairway.istio-system.svc:15012 --service-account $(SERVICE_ACCOUNT) --drain-wait 5s",
		"router-ipv6":       "--role router --pod gw --namespace istio-system --ip fd00::7 --xds-address [fd00::1]:15012 --sotw --cluster-id east --cluster-domain example.org --stats-prefix cluster.outbound",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(strings.Fields(args)...)
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + ".yaml"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s (go test -update writes it anew):\n%s", file, got)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--role waypoint":       `role "waypoint": must be "sidecar" or "router"`,
		"--pod a~b":             `pod "a~b": must not hold a tilde`,
		"--namespace=":          "namespace is missing",
		"--ip 10.0.0":           `ip "10.0.0": not an address`,
		"--listen nowhere":      `listen address "nowhere"`,
		"--xds-address nowhere": "want host:port",
		"--xds-address a:http":  "the port must be a number",
		"--xds-address :15010":  "want host:port",
		"--output toml":         "must be yaml or json",
		"--label novalue":       "want NAME=VALUE",
		"--output json --label " + "a=" + strings.Repeat("x", MaxArgument): "use fewer labels or probes",
	} {
		if _, err := run(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want an error with %q", args, err, want)
		}
	}
}

func TestProbesRefused(t *testing.T) {
	good := Config{Pod: "a", Namespace: "b", IP: "10.0.0.1", XDSAddress: "10.0.0.2:15010", Plaintext: true}
	for want, probes := range map[string][]Probe{
		"must begin with a slash":           {{Path: "x", Kind: ProbeTCP, Port: 1}},
		"the application's port is missing": {{Path: "/x", Kind: ProbeTCP}},
		"want http, https, tcp or grpc":     {{Path: "/x", Kind: "exec", Port: 1}},
		"is there twice":                    {{Path: "/x", Kind: ProbeTCP, Port: 1}, {Path: "/x", Kind: ProbeTCP, Port: 2}},
	} {
		good.Probes = probes
		if _, err := Render(good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "1", "DOLLAR": "$(A)"}[name]
		return value, ok
	}
	for in, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"$(A)-$(A)":       "1-1",
		"$(B)":            "$(B)",
		"$$(A)":           "$(A)",
		"$$$(A)":          "$1",
		"$":               "$",
		"$A $( $(A":       "$A $( $(A",
		"$(DOLLAR)":       "$(A)",
		Escape("$(A)$$a"): "$(A)$$a",
	} {
		if got := Expand(in, lookup); got != want {
			t.Errorf("Expand(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzEscape holds that what is escaped reaches Envoy as it was.
func FuzzEscape(f *testing.F) {
	f.Add("$(POD_NAME)$$")
	f.Fuzz(func(t *testing.T, text string) {
		if got := Expand(Escape(text), func(string) (string, bool) { return "lost", true }); got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
