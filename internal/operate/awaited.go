package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/replicas"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// awaited is an object with the generation and the UID that the API server has of it.
type awaited struct {
	ref        object.Ref
	generation int64
	uid        string
}

// lookup finds objects in the API server.
type lookup struct {
	namespace string // of those that name none
	client    dynamic.Interface
	mapper    meta.RESTMapper
}

func newLookup(config *rest.Config, namespace string) (*lookup, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	cached := memory.NewMemCacheClient(kinds)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	return &lookup{namespace, client, mapper}, nil
}

// named finds an object by KIND/NAME, with a kind as kubectl takes it.
func (l *lookup) named(ctx context.Context, arg string) (awaited, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok || kind == "" || name == "" {
		return awaited{}, fmt.Errorf("%q is not KIND/NAME", arg)
	}
	full, group := schema.ParseResourceArg(strings.ToLower(kind))
	resource := group.WithVersion("")
	if full != nil {
		resource = *full
	}
	gvk, err := l.mapper.KindFor(resource)
	if err != nil && full != nil {
		gvk, err = l.mapper.KindFor(group.WithVersion(""))
	}
	if err != nil {
		return awaited{}, fmt.Errorf("looking for the kind %q: %w", kind, err)
	}
	return l.get(ctx, gvk, l.namespace, name)
}

// get reads the generation of an object.
func (l *lookup) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (awaited, error) {
	kind, ok := kindOfRule(gvk)
	if !ok {
		return awaited{}, fmt.Errorf("%s %s is none of the objects that say how the mesh behaves (those of Istio's API, the Gateway API and Ingresses): proxies cannot be waited for", gvk.Kind, name)
	}
	mapping, err := l.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return awaited{}, fmt.Errorf("looking for %s: %w", gvk.Kind, err)
	}
	var in dynamic.ResourceInterface = l.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		in = l.client.Resource(mapping.Resource).Namespace(namespace)
	} else {
		namespace = ""
	}
	u, err := in.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return awaited{}, fmt.Errorf("reading %s %s of the cluster: %w", gvk.Kind, name, err)
	}
	return awaited{object.Ref{Kind: kind, Namespace: namespace, Name: name}, u.GetGeneration(), string(u.GetUID())}, nil
}

// kindOfRule is what the mesh calls a kind; false for one that proxies cannot be waited for.
func kindOfRule(gvk schema.GroupVersionKind) (object.Kind, bool) {
	kind := object.Kind(gvk.Kind)
	switch {
	case gvk.Group == "gateway.networking.k8s.io":
		kind = object.Kind(gvk.Group + "/" + gvk.Kind)
	case gvk.Group != "networking.k8s.io" && !strings.HasSuffix(gvk.Group, ".istio.io"):
		return "", false
	}
	return kind, mesh.Awaited(kind)
}

// file finds the objects of a file ("-": standard input) in the API server. Those of other
// kinds are passed over; the error says so when there are no others.
func (l *lookup) file(ctx context.Context, name string, stdin io.Reader) (out []awaited, err error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	decoder := yaml.NewYAMLOrJSONDecoder(io.LimitReader(stdin, maxWaitFile), 4096)
	take := func(o runtime.Object) error {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			return nil
		}
		gvk := u.GroupVersionKind()
		if _, ok := kindOfRule(gvk); !ok {
			return nil
		}
		if len(out) == debug.MaxAwaited {
			return tooMany(len(out) + 1)
		}
		namespace := u.GetNamespace()
		if namespace == "" {
			namespace = l.namespace
		}
		a, err := l.get(ctx, gvk, namespace, u.GetName())
		out = append(out, a)
		return err
	}
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if len(u.Object) == 0 {
			continue
		}
		err := take(u)
		if u.IsList() {
			err = u.EachListItem(take)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no object that says how the mesh behaves", name)
	}
	return out, nil
}

// maxWaitFile is how much of a file is read, in bytes.
const maxWaitFile = 64 << 20

// maxQuery is how long a question to the debug port may be, in bytes: what servers take as a
// line of a request.
const maxQuery = 4 << 10

// progressAt asks a replica about the objects, in as many questions as it takes.
func progressAt(ctx context.Context, r *replicas.Replica, of []awaited) (out []debug.Progress, err error) {
	for _, q := range queries(of) {
		var list []debug.Progress
		if err := r.Get(ctx, q, &list); err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	if len(out) != len(of) {
		return nil, fmt.Errorf("it knows of %d objects where %d were asked for", len(out), len(of))
	}
	return out, nil
}

// queries ask the debug port about the objects.
func queries(of []awaited) (out []string) {
	const page = "/debug/progressz?"
	q := page
	for _, a := range of {
		one := "object=" + debug.RefText(a.ref)
		if q != page && len(q)+1+len(one) > maxQuery {
			out, q = append(out, q), page
		}
		if q != page {
			q += "&"
		}
		q += one
	}
	return append(out, q)
}
