package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// version is that of the control planes that run.
func (s *suite) version(t *testing.T) string {
	t.Helper()
	return s.kubectl(t, "get", "deployment", "-n", system, "fairway", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
}

// shortLived is the lifetime of certificates from the upgrade on: they are
// replaced at half of it.
const shortLived = 30 * time.Second

// testUpgrade brings the next version. The pods of the version before go on, and
// the control plane says which.
func testUpgrade(t *testing.T, s *suite) {
	s.load.during(t, "helm upgrade", func() {
		s.helm(t, "upgrade", "fairway", s.next, "-n", system, "--reset-then-reuse-values", "--wait", "--timeout", "4m",
			"--set", "controlPlane.extraArgs={--certificate-lifetime="+shortLived.String()+"}")
		s.rolledOut(t, system)
	})
	if got := s.version(t); !strings.HasSuffix(got, ":"+newRelease) {
		t.Errorf("after the upgrade the control plane is %s", got)
	}
	const old = "Workload " + shopping + "/shop"
	listed := func() (string, error) {
		pages, err := s.pages(t.Context(), "/debug/findings")
		return strings.Join(pages, "\n"), err
	}
	eventually(t, 3*soon, "the control plane says whose proxies are old", func() (any, bool) {
		found, err := listed()
		return fmt.Sprint(found, err), err == nil && strings.Contains(found, old) && strings.Contains(found, "injected by Fairway "+release+", and the control plane is "+newRelease)
	})
	s.load.during(t, "pods of the version before are rolled", func() { s.restart(t, shopping, "shop") })
	eventually(t, 3*soon, "none of its proxies is old", func() (any, bool) {
		found, err := listed()
		return fmt.Sprint(found, err), err == nil && !strings.Contains(found, old)
	})
	s.follow(t, "Day two")
}

// testRollback goes back.
func testRollback(t *testing.T, s *suite) {
	s.load.during(t, "helm rollback", func() {
		s.helm(t, "rollback", "fairway", "1", "-n", system, "--wait", "--timeout", "4m")
		s.rolledOut(t, system)
		s.gone(t, system, "istio=ingressgateway", 2)
	})
	if got := s.version(t); !strings.HasSuffix(got, ":"+release) {
		t.Errorf("after the rollback the control plane is %s", got)
	}
}

// everything lists what is in the cluster, but for what comes and goes by itself.
func (s *suite) everything(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, namespaced := range []string{"true", "false"} {
		kinds := s.kubectl(t, "api-resources", "--verbs=list", "--namespaced="+namespaced, "-o", "name")
		var wanted []string
		for _, k := range strings.Fields(kinds) {
			if !strings.HasPrefix(k, "events") && !strings.HasPrefix(k, "componentstatuses") && k != "pods" {
				wanted = append(wanted, k)
			}
		}
		list := s.kubectl(t, "get", strings.Join(wanted, ","), "-A", "--ignore-not-found", "-o",
			`jsonpath={range .items[*]}{.kind}{" "}{.metadata.namespace}/{.metadata.name}{"\n"}{end}`)
		for line := range strings.Lines(list) {
			out[strings.TrimSpace(line)] = true
		}
	}
	return out
}

// testUninstall looks for what is left of the mesh.
func testUninstall(t *testing.T, s *suite) {
	s.helm(t, "uninstall", "fairway", "-n", system, "--wait", "--timeout", "4m")
	eventually(t, 3*time.Minute, "only definitions are left", func() (any, bool) {
		out, err := s.Kubectl(t.Context(), "", "get", "pods", "-n", system, "-o", "name")
		if err != nil || strings.TrimSpace(out) != "" {
			return out, false
		}
		var left []string
		for object := range s.everything(t) {
			kind, name, _ := strings.Cut(object, " ")
			if strings.Contains(name, "fairway") || strings.HasPrefix(name, system+"/") && !ownOfNamespaces[kind] {
				if !strings.HasPrefix(object, "CustomResourceDefinition ") {
					left = append(left, object)
				}
			}
		}
		return left, len(left) == 0
	})
	crds := s.kubectl(t, "get", "crds", "-o", "name")
	if !strings.Contains(crds, "virtualservices.networking.istio.io") {
		t.Error("the definitions of the Istio API were removed, and with them people's objects")
	}
}

// ownOfNamespaces are kinds of which Kubernetes itself puts one into each
// namespace.
var ownOfNamespaces = map[string]bool{"ServiceAccount": true, "ConfigMap": true}
