package gateways

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
)

// ownClasses are the GatewayClasses that people of Istio expect to be there, with their
// controllers.
var ownClasses = map[string]string{"istio": gatewayapi.IstioController, "fairway": gatewayapi.FairwayController}

// classes makes the GatewayClasses.
func (t *term) classes(ctx context.Context) {
	for name, controller := range ownClasses {
		_, err := t.Client.Resource(classes).Create(ctx, class(name, controller), metav1.CreateOptions{FieldManager: manager})
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil { // not found: no such kind in the cluster
			t.warn("a GatewayClass cannot be made; Gateways of the class are served all the same", "class "+name, err)
		}
	}
}

// RemoveClasses removes the GatewayClasses that a Deployer made; those of others stay.
func RemoveClasses(ctx context.Context, client dynamic.Interface) error {
	var errs []error
	for name, controller := range ownClasses {
		at := client.Resource(classes)
		c, err := at.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for GatewayClass %s: %w", name, err))
			continue
		}
		made := slices.ContainsFunc(c.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool { return m.Manager == manager })
		spec, _ := c.Object["spec"].(map[string]any)
		if !made || spec["controllerName"] != controller {
			continue
		}
		uid := c.GetUID()
		if err := at.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing GatewayClass %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
