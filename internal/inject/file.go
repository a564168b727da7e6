package inject

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// file is the YAML form of Params; what it leaves out stays.
type file struct {
	XDSAddress       *string                      `json:"xdsAddress"`
	Plaintext        *bool                        `json:"plaintext"`
	ProxyImage       *string                      `json:"proxyImage"`
	InitImage        *string                      `json:"initImage"`
	ImagePullPolicy  *corev1.PullPolicy           `json:"imagePullPolicy"`
	ClusterDomain    *string                      `json:"clusterDomain"`
	ClusterID        *string                      `json:"clusterID"`
	RootNamespace    *string                      `json:"rootNamespace"`
	NativeSidecar    *bool                        `json:"nativeSidecar"`
	HoldApplication  *bool                        `json:"holdApplicationUntilProxyStarts"`
	DrainApplication *bool                        `json:"drainApplication"`
	Resources        *corev1.ResourceRequirements `json:"resources"`
	LogLevel         *string                      `json:"logLevel"`
	Concurrency      *int                         `json:"concurrency"`
	DrainWait        *metav1.Duration             `json:"drainWait"`
	TokenLifetime    *metav1.Duration             `json:"tokenLifetime"`
	Templates        map[string]string            `json:"templates"`
	IPv6             *bool                        `json:"ipv6"`
	DualStack        *bool                        `json:"dualStack"`
}

// ReadParams reads the YAML of "fairway serve --injection" and "fairway inject
// --params" over p. Its keys are the fields of Params in lower camel case; null
// and what is left out keep what p says. Errors name the key that is wrong.
func ReadParams(text []byte, p Params) (Params, error) {
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return p, fmt.Errorf("reading the settings of injection: %w", err)
	}
	set(&p.XDSAddress, f.XDSAddress)
	set(&p.Plaintext, f.Plaintext)
	set(&p.ProxyImage, f.ProxyImage)
	set(&p.InitImage, f.InitImage)
	set(&p.ImagePullPolicy, f.ImagePullPolicy)
	set(&p.ClusterDomain, f.ClusterDomain)
	set(&p.ClusterID, f.ClusterID)
	set(&p.RootNamespace, f.RootNamespace)
	set(&p.NativeSidecar, f.NativeSidecar)
	set(&p.HoldApplication, f.HoldApplication)
	set(&p.DrainApplication, f.DrainApplication)
	set(&p.Resources, f.Resources)
	set(&p.LogLevel, f.LogLevel)
	set(&p.Concurrency, f.Concurrency)
	setDuration(&p.DrainWait, f.DrainWait)
	setDuration(&p.TokenLifetime, f.TokenLifetime)
	set(&p.IPv6, f.IPv6)
	set(&p.DualStack, f.DualStack)
	if f.Templates != nil {
		p.Templates = f.Templates
	}
	if err := checkTemplates(p.Templates); err != nil {
		return p, fmt.Errorf("reading the settings of injection: %w", err)
	}
	switch p.ImagePullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		return p, fmt.Errorf("reading the settings of injection: imagePullPolicy %q: want Always, IfNotPresent or Never", p.ImagePullPolicy)
	}
	if err := p.validate(); err != nil {
		return p, fmt.Errorf("reading the settings of injection: %w", err)
	}
	return p, nil
}

func set[T any](field *T, said *T) {
	if said != nil {
		*field = *said
	}
}

func setDuration(field *time.Duration, said *metav1.Duration) {
	if said != nil {
		*field = said.Duration
	}
}
