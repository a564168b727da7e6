package translate

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// perFilter configures an HTTP filter for the route alone.
func perFilter(r *routev3.Route, filter string, config proto.Message) {
	if config == nil {
		return
	}
	if r.TypedPerFilterConfig == nil {
		r.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	r.TypedPerFilterConfig[filter] = resource.Pack(config)
}

// fault maps HTTPFaultInjection; nil where nothing is injected. A delay or
// abort without a percentage concerns no request.
func fault(in *networking.HTTPFaultInjection) proto.Message {
	f := &faultv3.HTTPFault{}
	if d := in.GetDelay(); d.GetFixedDelay() != nil {
		percent := d.GetPercentage().GetValue()
		if d.Percentage == nil {
			percent = float64(d.Percent) //nolint:staticcheck // the field of old is still written
		}
		f.Delay = &commonfaultv3.FaultDelay{
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: d.GetFixedDelay()},
			Percentage:         fraction(percent),
		}
	}
	if a := in.GetAbort(); a.GetErrorType() != nil {
		abort := &faultv3.FaultAbort{Percentage: fraction(a.GetPercentage().GetValue())}
		switch e := a.ErrorType.(type) {
		case *networking.HTTPFaultInjection_Abort_HttpStatus:
			abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(e.HttpStatus)}
		case *networking.HTTPFaultInjection_Abort_GrpcStatus:
			if code, ok := traffic.GRPCStatus(e.GrpcStatus); ok {
				abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: code}
			}
		}
		if abort.ErrorType != nil {
			f.Abort = abort
		}
	}
	if f.Delay == nil && f.Abort == nil {
		return nil
	}
	return f
}

// fraction is a percentage in millionths, as fine as Envoy has it.
func fraction(percent float64) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(percent * 10000), Denominator: typev3.FractionalPercent_MILLION}
}
