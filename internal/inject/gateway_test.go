package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestPullPolicyOfGateways: what the API server says to the image "auto" is not
// said of the image that takes its place.
func TestPullPolicyOfGateways(t *testing.T) {
	for _, c := range []struct {
		image      string
		said, want corev1.PullPolicy
	}{
		{autoImage, corev1.PullAlways, corev1.PullIfNotPresent},
		{autoImage, "", corev1.PullIfNotPresent},
		{autoImage, corev1.PullNever, corev1.PullNever},
		{"envoy", corev1.PullAlways, corev1.PullAlways},
	} {
		base := corev1.Container{Image: "base", ImagePullPolicy: corev1.PullIfNotPresent}
		if got, _, err := overlay(base, corev1.Container{Image: c.image, ImagePullPolicy: c.said}); err != nil || got.ImagePullPolicy != c.want {
			t.Errorf("image %s with policy %q is pulled %s, want %s (%v)", c.image, c.said, got.ImagePullPolicy, c.want, err)
		}
	}
}
