package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// CRD is a CustomResourceDefinition as its project publishes it.
type CRD struct {
	Name   string
	Group  string
	Plural string
	JSON   []byte

	versions []string // that are served
}

// CRDs are those of Istio and, of the standard channel, of the Gateway API, out
// of the published modules that go.mod names.
func CRDs(ctx context.Context) ([]CRD, error) {
	istio, err := moduleDir(ctx, "istio.io/api")
	if err != nil {
		return nil, err
	}
	gateway, err := moduleDir(ctx, "sigs.k8s.io/gateway-api")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(gateway, "config", "crd", "standard", "gateway.networking.k8s.io_*.yaml"))
	if err != nil {
		return nil, err
	}
	var out []CRD
	for _, f := range append([]string{filepath.Join(istio, "kubernetes", "customresourcedefinitions.gen.yaml")}, files...) {
		list, err := readCRDs(f)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	if len(out) == 0 {
		return nil, errors.New("the modules istio.io/api and sigs.k8s.io/gateway-api hold no definitions")
	}
	return out, nil
}

func moduleDir(ctx context.Context, module string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding the module %s: %w: run it inside the tree, with go in PATH", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("the module %s is not downloaded: run go mod download %s", module, module)
	}
	return dir, nil
}

func readCRDs(file string) ([]CRD, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading definitions: %w", err)
	}
	var out []CRD
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		js, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		var d struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct {
				Group    string
				Names    struct{ Plural string }
				Versions []struct {
					Name   string
					Served bool
				}
			}
		}
		if err := json.Unmarshal(js, &d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if d.Kind != "CustomResourceDefinition" {
			continue
		}
		c := CRD{Name: d.Metadata.Name, Group: d.Spec.Group, Plural: d.Spec.Names.Plural, JSON: js}
		for _, v := range d.Spec.Versions {
			if v.Served {
				c.versions = append(c.versions, v.Name)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

const definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// InstallCRDs creates the definitions that names give, all of CRDs without
// names, and waits until their objects are served.
func (s *Server) InstallCRDs(ctx context.Context, names ...string) error {
	list, err := CRDs(ctx)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.REST)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	var installed []CRD
	for _, c := range list {
		if len(names) > 0 && !wanted[c.Name] {
			continue
		}
		delete(wanted, c.Name)
		_, err := client.RESTClient().Post().AbsPath(definitionsPath).SetHeader("Content-Type", "application/json").Body(c.JSON).DoRaw(ctx)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating the definition %s: %w", c.Name, err)
		}
		installed = append(installed, c)
	}
	for n := range wanted {
		return fmt.Errorf("there is no definition %s", n)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, c := range installed {
		for _, v := range c.versions {
			path := "/apis/" + c.Group + "/" + v + "/" + c.Plural
			for {
				_, err := client.RESTClient().Get().AbsPath(path).Param("limit", "1").DoRaw(ctx)
				if err == nil {
					break
				}
				select {
				case <-ctx.Done():
					return fmt.Errorf("waiting until %s is served: %w", path, err)
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
	return nil
}
