package gatewayapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// half is a part of the suite that runs for itself. The applications of the
// gateways' tests have no proxies: they could not all run on a small machine, where
// the Envoys of all clusters share one user's fs.inotify.max_user_instances.
type half struct {
	profiles string
	mesh     bool
}

var halves = []half{
	{profiles: "GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP"},
	{profiles: "MESH-HTTP,MESH-GRPC", mesh: true},
}

// meshFeatures are those of routes for the clients of Services, beside the core
// ones. A GatewayClass may not claim them.
var meshFeatures = []string{
	"MeshConsumerRoute", "MeshHTTPRouteBackendRequestHeaderModification", "MeshHTTPRouteNamedRouteRule", "MeshHTTPRouteQueryParamMatching",
	"MeshHTTPRouteRedirectPath", "MeshHTTPRouteRedirectPort", "MeshHTTPRouteRewritePath", "MeshHTTPRouteSchemeRedirect",
}

// Options say what Conform runs.
type Options struct {
	Version string // of Fairway, for the report
	Only    string // the one test to run; "": all
}

// Conform runs the suite with the GatewayClass istio, for the features that it
// claims, and writes what the suite prints to out. It returns the suite's reports,
// a YAML document for each half; the error is that tests failed.
func (b *Bed) Conform(ctx context.Context, o Options, out io.Writer) (reports string, err error) {
	dir, err := os.MkdirTemp("", "fairway-gateway-api-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	var failed []string
	for _, h := range halves {
		if o.Only != "" && strings.HasPrefix(o.Only, "Mesh") != h.mesh {
			continue
		}
		at := filepath.Join(dir, "report.yaml")
		if err := b.conform(ctx, h, o, at, out); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", h.profiles, err))
		}
		if report, err := os.ReadFile(at); err == nil {
			reports += "---\n" + string(report)
		}
		os.Remove(at)
	}
	if len(failed) > 0 {
		return reports, fmt.Errorf("the conformance suite: %s", strings.Join(failed, "; "))
	}
	return reports, nil
}

func (b *Bed) conform(ctx context.Context, h half, o Options, report string, out io.Writer) error {
	features, err := b.features(ctx, h)
	if err != nil {
		return err
	}
	arguments := []string{
		"-test.run=^TestConformance$", "-test.v", "-test.timeout=2h", "-gateway-class=istio", "-conformance-profiles=" + h.profiles,
		"-supported-features=" + strings.Join(features, ","), "-run-test=" + o.Only, "-report-output=" + report,
		"-usable-address=" + b.pool.fixed(), "-unusable-address=" + outside,
		"-organization=fairway-mesh", "-project=fairway", "-url=https://github.com/fairway-mesh/fairway", "-contact=https://github.com/fairway-mesh/fairway/issues", "-version=" + o.Version,
	}
	if h.mesh {
		arguments = append(arguments, "-namespace-labels=istio-injection=enabled")
	}
	cmd := exec.CommandContext(ctx, b.programs.path("conformance"), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// features are what the GatewayClass claims, for the mesh those of HTTPRoutes and
// meshFeatures.
func (b *Bed) features(ctx context.Context, h half) ([]string, error) {
	if _, err := b.Kubectl(ctx, "", "wait", "--for=condition=Accepted", "gatewayclass/istio", "--timeout=60s"); err != nil {
		return nil, err
	}
	text, err := b.Kubectl(ctx, "", "get", "gatewayclass", "istio", "-o", "json")
	if err != nil {
		return nil, err
	}
	var class struct {
		Status struct{ SupportedFeatures []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(text), &class); err != nil {
		return nil, err
	}
	var out []string
	for _, f := range class.Status.SupportedFeatures {
		if !h.mesh || strings.HasPrefix(f.Name, "HTTPRoute") {
			out = append(out, f.Name)
		}
	}
	if h.mesh {
		out = slices.Concat(out, meshFeatures)
	}
	return out, nil
}
