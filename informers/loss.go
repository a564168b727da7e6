package informers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	// lossSample is how many of the objects that a list lacks are asked for by
	// name, and lossPatience how long that may take.
	lossSample, lossPatience = 8, 5 * time.Second
)

// believe says whether objects that a list lacks are gone. A list can come with
// some of it missing and look whole: its version, its length and its end are what
// the same hand wrote. What does not lie is the question for one object by its
// name, which takes another way through the API server. So some of the missing
// are asked for; when any is there, none is taken for gone, and the list is asked
// for again. A control plane that must not ask so believes the list.
func (r *reflection) believe(ctx context.Context, missing []object.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, lossPatience)
	defer cancel()
	for n, i := range rand.Perm(len(missing)) {
		if n == lossSample {
			break
		}
		there, err := r.isThere(ctx, missing[i])
		switch {
		case apierrors.IsForbidden(err):
			return nil
		case err != nil:
			return fmt.Errorf("a list lacks %s, and whether it is gone cannot be told: %w", missing[i], err)
		case there:
			return fmt.Errorf("a list of %s lacks %s, which is there: it is not believed, and %d objects are kept", r.store.kind.groupKind(), missing[i], len(missing))
		}
	}
	return nil
}

// isThere asks for one object of the selection.
func (r *reflection) isThere(ctx context.Context, ref object.Ref) (bool, error) {
	k := r.store.kind
	at := r.source.metadata.Resource(schema.GroupVersionResource{Group: k.group, Version: r.version, Resource: k.resource}).Namespace(ref.Namespace)
	narrow := k.selection()
	if narrow == (selection{}) {
		_, err := at.Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}
	named := fields.OneTermEqualSelector("metadata.name", ref.Name).String()
	if narrow.fields != "" {
		named += "," + narrow.fields
	}
	list, err := at.List(ctx, metav1.ListOptions{FieldSelector: named, LabelSelector: narrow.labels})
	if err != nil {
		return false, err
	}
	return len(list.Items) > 0, nil
}
