package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// Keys of TokenReview.status.user.extra (k8s.io/apiserver, serviceaccount).
const (
	extraPod    = "authentication.kubernetes.io/pod-name"
	extraPodUID = "authentication.kubernetes.io/pod-uid"
)

// Review asks the API server about tokens of service accounts. The client's own
// rate limit would hold up proxies that reconnect all at once: it should have
// none (rest.Config.QPS below zero), since the Authenticator bounds how many
// reviews run.
func Review(client kubernetes.Interface) identity.ReviewFunc {
	return func(ctx context.Context, token string, audiences []string) (identity.Review, error) {
		answer, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences},
		}, metav1.CreateOptions{})
		switch {
		case apierrors.IsForbidden(err):
			return identity.Review{}, errors.New("not allowed to create TokenReviews (authentication.k8s.io): grant it to the control plane's service account")
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			// The API server may quote what it was sent.
			return identity.Review{}, &identity.Refusal{Reason: identity.ReasonMalformed, Message: "the API server cannot read the token"}
		case err != nil:
			return identity.Review{}, fmt.Errorf("asking for a TokenReview: %w", err)
		}
		return verdict(answer.Status)
	}
}

func verdict(s authenticationv1.TokenReviewStatus) (identity.Review, error) {
	if !s.Authenticated {
		return identity.Review{}, refusal(s.Error)
	}
	namespace, account, ok := strings.Cut(strings.TrimPrefix(s.User.Username, "system:serviceaccount:"), ":")
	if !ok || !strings.HasPrefix(s.User.Username, "system:serviceaccount:") {
		return identity.Review{}, &identity.Refusal{Reason: identity.ReasonNotBound, Message: "the token is not that of a service account"}
	}
	return identity.Review{
		Namespace: namespace, ServiceAccount: account,
		Pod: single(s.User.Extra[extraPod]), PodUID: single(s.User.Extra[extraPodUID]),
		Audiences: s.Audiences,
	}, nil
}

func single(v []string) string {
	if len(v) != 1 {
		return ""
	}
	return v[0]
}

// refusal turns the API server's reason into one of ours. Its words are not
// passed on: they are not made for whoever sent the token.
func refusal(reason string) *identity.Refusal {
	switch {
	case strings.Contains(reason, "audience"):
		return &identity.Refusal{Reason: identity.ReasonAudience, Message: "the token is for another audience: mount one with audience " + identity.DefaultAudience}
	case strings.Contains(reason, "expired"):
		return &identity.Refusal{Reason: identity.ReasonExpired, Message: "the token has expired: the proxy must read it anew from its volume"}
	case strings.Contains(reason, "invalidated"), strings.Contains(reason, "not found"), strings.Contains(reason, "deleted"),
		strings.Contains(reason, "does not match"): // a successor of the same name has another UID
		return &identity.Refusal{Reason: identity.ReasonRevoked, Message: "the token's pod or service account is gone"}
	default:
		return &identity.Refusal{Reason: identity.ReasonRejected, Message: "the API server does not accept the token"}
	}
}
