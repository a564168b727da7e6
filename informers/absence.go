package informers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definition is the name of the CustomResourceDefinition of a kind.
func (k *kind) definition() string { return k.resource + "." + k.group }

// absence says why a kind is not served: absent, that the cluster does not have
// it, so that there are no objects and none has to be waited for. Otherwise it is
// late, and why says what is known. An API server that is starting does not serve
// custom resources yet, one in trouble refuses, and what stands between may cut
// off any answer: to take a kind for absent then would empty the mesh. So absent
// is what the API server says itself about this very definition.
func (f *follower) absence(ctx context.Context, k *kind) (absent bool, why string) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	_, err := f.metadata.Resource(definitions).Get(ctx, k.definition(), metav1.GetOptions{})
	switch {
	case saysGone(err, k.definition()):
		return true, ""
	case err != nil:
		return false, fmt.Sprintf("it is not served, and whether it is defined cannot be told: reading the CustomResourceDefinition %s: %v", k.definition(), short(err))
	}
	served, err := f.definedVersions(ctx, k)
	if err != nil {
		return false, fmt.Sprintf("it is defined and not served yet, and in which versions cannot be told: %v", short(err))
	}
	if slices.ContainsFunc(served, func(v string) bool { return slices.Contains(k.versions, v) }) {
		return false, "it is defined and not served yet"
	}
	f.remark(k, "the cluster serves the kind in no version that is read: its objects are not seen", "served", served, "read", k.versions)
	return true, ""
}

// definedVersions are those that the definition of a kind has served.
func (f *follower) definedVersions(ctx context.Context, k *kind) (served []string, err error) {
	text, err := f.discover.RESTClient().Get().AbsPath("/apis", definitions.Group, definitions.Version, definitions.Resource, k.definition()).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string `json:"name"`
				Served bool   `json:"served"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(text, &definition); err != nil {
		return nil, fmt.Errorf("reading the CustomResourceDefinition %s: %w", k.definition(), err)
	}
	for _, v := range definition.Spec.Versions {
		if v.Served {
			served = append(served, v.Name)
		}
	}
	return served, nil
}

// saysGone tells whether the error is the word of an API server that there is no
// object of this name, and not a 404 of something that stands before it or is not
// up yet.
func saysGone(err error, name string) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return false
	}
	s := status.Status()
	if s.Reason != metav1.StatusReasonNotFound || s.Details == nil || s.Details.Name != name {
		return false
	}
	return !slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeUnexpectedServerResponse })
}

// shortest is how much of an error people are shown, in bytes.
const shortest = 300

// short is the text of an error without the address that was asked, cut where
// it is long: an API server may send pages.
func short(err error) string {
	if asked := (*url.Error)(nil); errors.As(err, &asked) {
		err = asked.Err
	}
	text := err.Error()
	if len(text) > shortest {
		text = text[:shortest] + "…"
	}
	return text
}
