package translate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// defaultRetryOn are the failures after which a request is sent again unless
// somebody says otherwise. It is Istio's list with reset-before-request: a
// connection that breaks before the request is on its way, so that no
// application sees a request twice.
const defaultRetryOn = "connect-failure,refused-stream,reset-before-request,unavailable,cancelled,retriable-status-codes"

const (
	defaultRetries = 2
	hostAttempts   = 5 // how often a retry looks for a host that was not tried yet
)

// retryPolicy maps HTTPRoute.retries to envoy.config.route.v3.RetryPolicy; nil
// is MeshConfig.defaultHttpRetryPolicy or, without one, the built-in default.
// Each replaces the next as a whole. Nil out: no retries. hashed is whether
// the request's hash chooses the host: a retry then goes where the request
// belongs, be it the same host.
func retryPolicy(in *networking.HTTPRetry, hashed bool, cfg *mesh.Config) *routev3.RetryPolicy {
	if in == nil {
		in = cfg.GetDefaultHttpRetryPolicy()
	}
	if in == nil {
		in = &networking.HTTPRetry{Attempts: defaultRetries}
	}
	if in.Attempts <= 0 {
		return nil
	}
	p := &routev3.RetryPolicy{NumRetries: wrapperspb.UInt32(uint32(in.Attempts)), PerTryTimeout: atLeastMilli(in.PerTryTimeout)}
	p.RetryOn, p.RetriableStatusCodes = retryOn(in.RetryOn)
	if ignore := in.RetryIgnorePreviousHosts; !hashed && (ignore == nil || ignore.Value) {
		p.HostSelectionRetryMaxAttempts = hostAttempts
		p.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: resource.Pack(&previoushostsv3.PreviousHostsPredicate{})},
		}}
	}
	if in.RetryRemoteLocalities.GetValue() {
		p.RetryPriority = &routev3.RetryPolicy_RetryPriority{
			Name:       "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{TypedConfig: resource.Pack(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: 2})},
		}
	}
	if d := atLeastMilli(in.Backoff); d != nil {
		p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: d}
	}
	return p
}

// atLeastMilli is the duration if Envoy takes it; nil otherwise. VirtualServices
// are checked on entry; the mesh configuration is not.
func atLeastMilli(d *durationpb.Duration) *durationpb.Duration {
	if !resource.Countable(d) || d.AsDuration() < time.Millisecond {
		return nil
	}
	return d
}

// retryOn splits a list of conditions and status codes; codes need a condition
// that tells Envoy to look at them.
func retryOn(list string) (conditions string, codes []uint32) {
	if strings.TrimSpace(list) == "" {
		return defaultRetryOn, nil
	}
	var words []string
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if code, err := strconv.ParseUint(word, 10, 32); err == nil {
			codes = append(codes, uint32(code))
		} else {
			words = append(words, word)
		}
	}
	if len(codes) > 0 && !slices.Contains(words, "retriable-status-codes") {
		words = append(words, "retriable-status-codes")
	}
	return strings.Join(words, ","), codes
}

// retriedOnce says the retry policy of the routes once, for the virtual host,
// where they have several times the same. Envoy holds a policy for each route
// that has its own; a route without takes that of its virtual host, so that
// nothing is said for all where one route is not to be retried.
func retriedOnce(vh *routev3.VirtualHost) {
	var common *routev3.RetryPolicy
	same := 0
	for _, r := range vh.Routes {
		a, ok := r.Action.(*routev3.Route_Route)
		switch {
		case !ok: // a redirect or an answer
		case a.Route.RetryPolicy == nil:
			return
		case common == nil:
			common, same = a.Route.RetryPolicy, 1
		case proto.Equal(a.Route.RetryPolicy, common):
			same++
		}
	}
	if same < 2 {
		return
	}
	vh.RetryPolicy = common
	for i, r := range vh.Routes {
		if p := r.GetRoute().GetRetryPolicy(); p != nil && proto.Equal(p, common) {
			r = proto.CloneOf(r) // other virtual hosts may have the same
			r.GetRoute().RetryPolicy = nil
			vh.Routes[i] = r
		}
	}
}
