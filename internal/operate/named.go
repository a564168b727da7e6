package operate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/debug"
)

// workloadKinds are what people call the kinds of workloads, and pods.
var workloadKinds = []string{
	"deploy", "deployment", "deployments", "sts", "statefulset", "statefulsets", "ds", "daemonset", "daemonsets", "rs", "replicaset", "replicasets",
	"job", "jobs", "cj", "cronjob", "cronjobs", "rollout", "rollouts", "po", "pod", "pods",
}

// isWorkload tells whether a name of a kind is that of a workload; a group may follow it.
func isWorkload(kind string) bool {
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
	return slices.Contains(workloadKinds, kind)
}

func isPod(kind string) bool { return strings.HasPrefix(strings.ToLower(kind), "po") }

// workloadNamed is "NAMESPACE/NAME" of the workload that is named, or that a named pod
// belongs to.
func (p *plane) workloadNamed(ctx context.Context, kind, name, namespace string) (string, error) {
	if !isPod(kind) {
		return namespace + "/" + name, nil
	}
	list, err := p.proxies(ctx)
	if err != nil {
		return "", err
	}
	for _, x := range list {
		if x.ID == name+"."+namespace && x.Workload != "" {
			return namespace + "/" + x.Workload, nil
		}
	}
	return "", fmt.Errorf("no proxy of pod %s/%s is connected, so that its workload is not known: name that, as deploy/NAME", namespace, name)
}

// proxyFrom is a connected proxy of the workload or pod that is named, and how many it has.
func (p *plane) proxyFrom(ctx context.Context, arg string) (proxy string, of int, err error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok || name == "" || !isWorkload(kind) {
		return "", 0, fmt.Errorf("--from %q is no workload: name one as deploy/web, sts/db or pod/web-1", arg)
	}
	if isPod(kind) {
		return p.named(name), 1, nil
	}
	namespace := p.namespace
	if namespace == "" {
		if _, ns, err := p.config(); err == nil {
			namespace = ns
		}
	}
	namespace = cmp.Or(namespace, "default")
	list, err := p.proxies(ctx)
	if err != nil {
		return "", 0, err
	}
	found := proxiesOf(list, namespace+"/"+name)
	if len(found) == 0 {
		return "", 0, fmt.Errorf("no proxy of %s in namespace %s is connected: `fairway status -n %s` lists those that are", arg, namespace, namespace)
	}
	return found[0], len(found), nil
}

// proxiesOf are the names of the proxies of a workload, "NAMESPACE/NAME", in order and each
// once: one that moves is at two replicas for a moment.
func proxiesOf(list []debug.Proxy, workload string) (names []string) {
	for _, x := range list {
		if x.Workload != "" && namespaceOf(x.ID)+"/"+x.Workload == workload {
			names = append(names, x.ID)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// shortKinds are the short names that the definitions of kinds have.
var shortKinds = map[string]string{
	"vs": "virtualservice", "dr": "destinationrule", "gw": "gateway", "se": "serviceentry", "we": "workloadentry", "pa": "peerauthentication",
	"ra": "requestauthentication", "ap": "authorizationpolicy", "telemetry": "telemetry", "svc": "service", "cm": "configmap", "ns": "namespace", "no": "node",
	"ing": "ingress", "gtw": "gateway.gateway.networking.k8s.io", "gc": "gatewayclass", "refgrant": "referencegrant", "btlspolicy": "backendtlspolicy", "lset": "listenerset",
}

// kindMatcher tells which kinds, in the words of the mesh, a name stands for: singular,
// plural or short, in any case, and with the group behind a dot or without.
func kindMatcher(name string) func(kind string) bool {
	name, group, _ := strings.Cut(strings.ToLower(name), ".")
	if long, ok := shortKinds[name]; ok {
		var of string
		if name, of, _ = strings.Cut(long, "."); of != "" {
			group = of
		}
	}
	return func(kind string) bool {
		of, is := "", strings.ToLower(kind)
		if i := strings.LastIndexByte(is, '/'); i >= 0 {
			of, is = is[:i], is[i+1:]
		}
		if group != "" && (of == "") != (group != "gateway.networking.k8s.io") {
			return false
		}
		return name == is || name == plural(is)
	}
}

func plural(kind string) string {
	switch {
	case strings.HasSuffix(kind, "y") && !strings.HasSuffix(kind, "ay"):
		return strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}
