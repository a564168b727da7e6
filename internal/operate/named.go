package operate

import (
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

// of are the connected proxies of a workload, by its name.
func of(list []debug.Proxy, name, namespace string) []debug.Proxy {
	return slices.DeleteFunc(slices.Clone(list), func(x debug.Proxy) bool { return x.Workload != name || namespaceOf(x.ID) != namespace })
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
