package inject

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/workload"
)

// Names that injection gives. Those of Istio stay where people's tools look for them.
const (
	// ProxyContainer is the container of the proxy.
	ProxyContainer = "istio-proxy"
	// InitContainer runs "fairway redirect".
	InitContainer = "fairway-init"
	// CredentialVolume holds the proxy's token and the files of bootstrap.SDSFiles.
	CredentialVolume = "fairway-credentials"
	// AuthorityConfigMap must exist in each namespace, with the keys
	// bootstrap.AuthorityFile and those of bootstrap.SDSFiles.
	AuthorityConfigMap = "fairway-ca-root-cert"
	// TokenAudience is for whom the proxy's token is.
	TokenAudience = "fairway"
)

// repository is where the images of fairway are.
const repository = "ghcr.io/fairway-mesh/fairway"

// Params is what the mesh, not the pod, decides. DefaultParams is a start.
type Params struct {
	// XDSAddress is the control plane, host:port. Required.
	XDSAddress string
	// Plaintext speaks to the control plane without TLS and without a token.
	Plaintext bool
	// ProxyImage is a stock Envoy; InitImage has fairway as its entry point.
	ProxyImage, InitImage string
	// ImagePullPolicy of both. Empty: Kubernetes' default.
	ImagePullPolicy corev1.PullPolicy
	// ClusterDomain is the DNS domain of services. Empty: cluster.local.
	ClusterDomain string
	// ClusterID names the Kubernetes cluster. Empty: Kubernetes.
	ClusterID string
	// RootNamespace is the control plane's; its pods are injected like any other.
	RootNamespace string
	// Namespace is that of objects which name none. Empty: default.
	Namespace string
	// NativeSidecar runs the proxy as an init container with restartPolicy Always
	// (Kubernetes 1.29 and newer). Otherwise it is a plain container, the first to
	// start; pods that must come to an end (Jobs) get a native one all the same.
	NativeSidecar bool
	// HoldApplication is the mesh's holdApplicationUntilProxyStarts: the proxy is
	// ready before the application starts, which only a native sidecar can do.
	HoldApplication bool
	// DrainApplication has the application serve on for DrainWait when its pod
	// begins to end, until everybody knows: containers that have no preStop hook
	// get one that sleeps (Kubernetes 1.30 and newer). Without it an application
	// that ends at once refuses requests that are on their way.
	DrainApplication bool
	// Templates are parts of pods in YAML (metadata.labels, metadata.annotations and
	// spec), by the names under which the annotation inject.istio.io/templates asks for
	// them beside sidecar or gateway. A pod is stronger than its templates.
	Templates map[string]string
	// IPv6 tells that the first address of pods is of IPv6, DualStack that they have
	// addresses of both families.
	IPv6, DualStack bool
	// Resources of the proxy where annotations say nothing.
	Resources corev1.ResourceRequirements
	// LogLevel is Envoy's --log-level. Empty: warning.
	LogLevel string
	// Concurrency is the number of Envoy's worker threads where neither an
	// annotation nor a CPU limit says it. Zero: Envoy's own choice.
	Concurrency int
	// Environment holds variables of the proxy where the annotation
	// proxy.istio.io/config (proxyMetadata) does not say them.
	Environment map[string]string
	// ProxyConfig is stronger than annotations.
	ProxyConfig ProxyConfig
	// DrainWait is how long a plain proxy, and with DrainApplication the
	// application, outlives the start of its pod's end.
	DrainWait time.Duration
	// TokenLifetime is how long the kubelet has the proxy's token issued for.
	TokenLifetime time.Duration
	// Version is that of the Fairway that injects, for the control plane to tell
	// which proxies are older than itself. Empty: nobody can tell.
	Version string
	// Owner is the object whose pods are made. Zero: found from the pod.
	Owner workload.Owner
}

// ProxyConfig is what objects of that kind (networking.istio.io) say of a pod's
// proxy. Zero says nothing.
type ProxyConfig struct {
	Concurrency *int
	Environment map[string]string
}

// DefaultParams are the values that a mesh starts from, with Istio's defaults
// for resources and drain.
func DefaultParams() Params {
	return Params{
		XDSAddress:    "fairway.istio-system.svc:15012",
		ProxyImage:    "docker.io/envoyproxy/envoy:distroless-v1.40.0",
		InitImage:     repository + ":latest",
		ClusterDomain: bootstrap.DefaultClusterDomain,
		RootNamespace: "istio-system",
		Namespace:     corev1.NamespaceDefault,
		LogLevel:      "warning",
		Concurrency:   2,
		DrainWait:     5 * time.Second,
		TokenLifetime: 12 * time.Hour,
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
			},
			Limits: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"),
			},
		},
	}
}

func (p Params) validate() error {
	switch {
	case p.XDSAddress == "":
		return errors.New("the control plane's xDS address is missing: give --xds-address host:port")
	case p.ProxyImage == "":
		return errors.New("the proxy's image is missing: give --image")
	case p.InitImage == "":
		return errors.New("the init container's image is missing: give --init-image")
	case !p.Plaintext && p.TokenLifetime < 10*time.Minute:
		return errors.New("the token's lifetime must be at least ten minutes, Kubernetes refuses less")
	}
	return nil
}
