package kube

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// maxReviews bounds how many questions of strangers are put to the API server
// at a time.
const maxReviews = 4

// Access asks the API server who bears a token, and whether they may get a
// non-resource URL. known is false for a token that proves nothing. It is safe
// for concurrent use.
type Access struct {
	client kubernetes.Interface
	turns  chan struct{}
}

// NewAccess returns an Access by the client, which needs the right to create
// TokenReviews and SubjectAccessReviews.
func NewAccess(client kubernetes.Interface) *Access {
	return &Access{client: client, turns: make(chan struct{}, maxReviews)}
}

// Allowed says whether the bearer of the token is known, and may get the path.
func (a *Access) Allowed(ctx context.Context, token, path string) (known, allowed bool, err error) {
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return false, false, ctx.Err()
	}
	who, err := a.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("asking for a TokenReview: %w", err)
	}
	if !who.Status.Authenticated {
		return false, false, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return true, false, fmt.Errorf("asking for a SubjectAccessReview: %w", err)
	}
	return true, may.Status.Allowed, nil
}
