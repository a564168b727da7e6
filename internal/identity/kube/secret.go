package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// Names of the Secrets in the root namespace.
const (
	AuthoritySecret = "fairway-ca-secret" // what Secret stores
	PluggedInSecret = "cacerts"           // what PluggedIn reads
)

// Secret is an identity.Storage. Its version is the Secret's resourceVersion.
type Secret struct {
	Client    kubernetes.Interface
	Namespace string
	Name      string
}

var _ identity.Storage = (*Secret)(nil)

// Load implements identity.Storage.
func (s *Secret) Load(ctx context.Context) (map[string][]byte, string, error) {
	o, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", s, err)
	}
	if o.Data == nil {
		o.Data = map[string][]byte{}
	}
	return o.Data, o.ResourceVersion, nil
}

// Save implements identity.Storage.
func (s *Secret) Save(ctx context.Context, entries map[string][]byte, version string) error {
	o := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: s.Namespace, ResourceVersion: version,
			Labels: map[string]string{"app.kubernetes.io/managed-by": manager},
		},
		Data: entries,
	}
	var err error
	if version == "" {
		_, err = s.Client.CoreV1().Secrets(s.Namespace).Create(ctx, o, metav1.CreateOptions{FieldManager: manager})
	} else {
		_, err = s.Client.CoreV1().Secrets(s.Namespace).Update(ctx, o, metav1.UpdateOptions{FieldManager: manager})
		if apierrors.IsInvalid(err) {
			err = s.replace(ctx, o, err)
		}
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), version != "" && apierrors.IsNotFound(err):
		return identity.ErrConflict
	case apierrors.IsInvalid(err):
		// The API server may quote what it was sent.
		return fmt.Errorf("writing %s: the API server finds it invalid", s)
	case err != nil:
		return fmt.Errorf("writing %s: %w", s, err)
	}
	return nil
}

// replace makes the Secret anew. One that is of another type, or immutable,
// cannot be updated. Where that is not the reason, invalid stays the error.
func (s *Secret) replace(ctx context.Context, o *corev1.Secret, invalid error) error {
	secrets := s.Client.CoreV1().Secrets(s.Namespace)
	is, err := secrets.Get(ctx, s.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if is.Type == corev1.SecretTypeOpaque && (is.Immutable == nil || !*is.Immutable) {
		return invalid
	}
	err = secrets.Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &o.ResourceVersion}})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	o.ResourceVersion = ""
	_, err = secrets.Create(ctx, o, metav1.CreateOptions{FieldManager: manager})
	return err
}

// String implements identity.Storage.
func (s *Secret) String() string { return "Secret " + s.Namespace + "/" + s.Name }

// PluggedIn reads the Secret for identity.Options.PluggedIn; nil without an
// error when there is none.
func (s *Secret) PluggedIn(ctx context.Context) (map[string][]byte, error) {
	entries, _, err := s.Load(ctx)
	return entries, err
}
