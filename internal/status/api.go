package status

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// api speaks to the API server about the objects of one kind. Of what it gives
// out only the metadata and the text of the status are read.
type api struct {
	client     rest.Interface
	parameters runtime.ParameterCodec
	resource   string
}

func newAPI(config *rest.Config, of schema.GroupVersionResource, kind string) (*api, error) {
	gv, scheme := of.GroupVersion(), runtime.NewScheme()
	scheme.AddKnownTypeWithName(gv.WithKind(kind), &kept{})
	scheme.AddKnownTypeWithName(gv.WithKind(kind+"List"), &keptList{})
	metav1.AddToGroupVersion(scheme, gv)
	if v1 := (schema.GroupVersion{Version: "v1"}); gv != v1 {
		metav1.AddToGroupVersion(scheme, v1)
	}
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/apis", &gv
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", gv, err)
	}
	return &api{client, runtime.NewParameterCodec(scheme), of.Resource}, nil
}

// informer keeps all objects of the kind.
func (a *api) informer() cache.SharedIndexInformer {
	request := func(o *metav1.ListOptions) *rest.Request {
		return a.client.Get().Resource(a.resource).VersionedParams(o, a.parameters)
	}
	return cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return request(&o).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return request(&o).Watch(ctx)
		},
	}, &kept{}, 0, cache.Indexers{})
}

// patch changes the status of an object.
func (a *api) patch(ctx context.Context, k *kept, body []byte) error {
	r := a.client.Patch(types.MergePatchType)
	if k.Namespace != "" {
		r = r.Namespace(k.Namespace)
	}
	return r.Resource(a.resource).Name(k.Name).SubResource("status").VersionedParams(&metav1.PatchOptions{FieldManager: manager}, a.parameters).
		Body(body).Do(ctx).Error()
}
