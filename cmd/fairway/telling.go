package main

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/internal/rival"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// telling is what becomes of the ConfigMaps that tell namespaces whom to trust,
// when somebody else writes them too.
type telling struct {
	log *slog.Logger

	mu        sync.Mutex
	namespace string // the last one in which that was seen
	by        string
	at        time.Time
	logged    time.Time
}

// undone hears that somebody keeps writing over the ConfigMap of a namespace. A
// rival writes in all of them: one line tells it.
func (t *telling) undone(namespace, by string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.namespace, t.by, t.at = namespace, by, time.Now()
	if time.Since(t.logged) < rival.Forget {
		return
	}
	t.logged = t.at
	t.log.Error("another writer keeps changing the ConfigMap with the root certificates, here and maybe elsewhere; restoring it less and less often",
		"configMap", namespace+"/"+kube.BundleConfigMap, "who", t.who(), "atMostEvery", rival.Longest)
}

func (t *telling) who() string {
	if t.by == "" {
		return "unknown: see the managedFields of the ConfigMap"
	}
	return "the control plane in namespace " + t.by + ": two control planes of one cluster need one root (cacerts), or only one may run"
}

func (t *telling) findings() []object.Finding {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.IsZero() || time.Since(t.at) > 2*rival.Forget {
		return nil
	}
	return []object.Finding{{Object: object.Ref{Kind: object.KindConfigMap, Namespace: t.namespace, Name: kube.BundleConfigMap}, Code: object.CodeConflict,
		Message: fmt.Sprintf("another writer keeps changing it, here and maybe in other namespaces, so proxies may stop trusting this control plane; it is restored less and less often. The writer: %s", t.who())}}
}
