package gateways

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// pageSize is how many objects are listed at a time.
const pageSize = 500

// sweep takes away what was made for Gateways and what they need no more: they changed
// their class or their addresses. What was made for Gateways that are gone goes with them.
// It tells whether everything was looked at.
func (t *term) sweep(ctx context.Context, w *mesh.World) bool {
	for _, at := range []schema.GroupVersionResource{deployments, services, serviceAccounts} {
		o := metav1.ListOptions{LabelSelector: gatewayapi.GatewayNameLabel, Limit: pageSize}
		for {
			if t.pace.Wait(ctx) != nil {
				return false
			}
			list, err := t.Client.Resource(at).List(ctx, o)
			if err != nil {
				if ctx.Err() == nil {
					t.warn("what Gateways left behind cannot be looked for; it is tried again", at.Resource, err)
				}
				return false
			}
			for i := range list.Items {
				u := &list.Items[i]
				if owner, generation, left := leftBehind(u, w); left && !t.remove(ctx, at, u, owner, generation) {
					return false
				}
			}
			if o.Continue = list.GetContinue(); o.Continue == "" {
				break
			}
		}
	}
	return true
}

// leftBehind is the Gateway for which an object was made here and that needs it no more,
// and the generation of it that says so.
func leftBehind(u *unstructured.Unstructured, w *mesh.World) (gateway metav1.OwnerReference, generation int64, left bool) {
	ours := slices.ContainsFunc(u.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == manager && m.Operation == metav1.ManagedFieldsOperationApply
	})
	owner := metav1.GetControllerOf(u)
	if !ours || owner == nil || owner.Kind != "Gateway" || schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).Group != classes.Group {
		return metav1.OwnerReference{}, 0, false
	}
	generation, left = w.GatewayAPI().LeftBehind(object.Ref{Kind: object.KindKubeGateway, Namespace: u.GetNamespace(), Name: owner.Name}, u.GetName())
	return *owner, generation, left
}

// remove deletes an object as it was seen, unless its Gateway is another by now: a new
// leader may be the last to hear.
func (t *term) remove(ctx context.Context, at schema.GroupVersionResource, u *unstructured.Unstructured, owner metav1.OwnerReference, generation int64) bool {
	if t.pace.Wait(ctx) != nil {
		return false
	}
	now, err := t.Client.Resource(gatewayResource).Namespace(u.GetNamespace()).Get(ctx, owner.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && now.GetUID() != owner.UID:
		return true // it goes with its Gateway
	case err != nil || now.GetGeneration() != generation:
		return false
	}
	uid, version := u.GetUID(), u.GetResourceVersion()
	o := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, PropagationPolicy: new(metav1.DeletePropagationBackground)}
	err = t.Client.Resource(at).Namespace(u.GetNamespace()).Delete(ctx, u.GetName(), o)
	if err != nil && !apierrors.IsNotFound(err) {
		if ctx.Err() == nil && !apierrors.IsConflict(err) { // somebody changed it meanwhile
			t.warn("what a Gateway left behind cannot be removed; it is tried again", u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName(), err)
		}
		return false
	}
	t.Log.Info("removed what a Gateway needs no more", "object", u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName())
	return true
}
