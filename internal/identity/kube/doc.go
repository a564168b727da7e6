// Package kube is the part of identity that talks to the Kubernetes API: the
// Secret with the roots, the Secret with a plugged-in authority, TokenReview,
// and the ConfigMap by which every namespace learns whom to trust.
//
// It must never write more than the one Secret and the ConfigMaps of its name,
// and never log, wrap or return a token or the content of a Secret.
//
// It needs, of the API server: get, create, update and delete on Secrets in the
// namespace of the authority; list and watch on Namespaces; get, list, watch,
// create, patch and delete on ConfigMaps in all namespaces; create on TokenReviews.
package kube
