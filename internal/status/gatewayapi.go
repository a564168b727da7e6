package status

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// apiKinds are those of the Gateway API, whose status is not an IstioStatus.
var apiKinds = map[schema.GroupResource]object.Kind{
	{Group: gatewayv1.GroupName, Resource: "gatewayclasses"}: object.KindGatewayClass,
	{Group: gatewayv1.GroupName, Resource: "gateways"}:       object.KindKubeGateway,
	{Group: gatewayv1.GroupName, Resource: "httproutes"}:     object.KindHTTPRoute,
	{Group: gatewayv1.GroupName, Resource: "grpcroutes"}:     object.KindGRPCRoute,
	{Group: gatewayv1.GroupName, Resource: "tlsroutes"}:      object.KindTLSRoute,
	{Group: gatewayv1.GroupName, Resource: "tcproutes"}:      object.KindTCPRoute,

	{Group: gatewayv1.GroupName, Resource: "backendtlspolicies"}: object.KindBackendTLSPolicy,
	{Group: gatewayv1.GroupName, Resource: "listenersets"}:       object.KindListenerSet,
}

// ownControllers are the names under which parents of routes are ours to write.
var ownControllers = []string{gatewayapi.IstioController, gatewayapi.FairwayController, gatewayapi.MeshController}

// apiChange is the status of an object of the Gateway API to write; nil when it
// stands there already, when the object is not ours, and when the world does
// not hold it as it is now.
func apiChange(k *kept, ref object.Ref, w *mesh.World, findings []object.Finding, now time.Time) (map[string]any, error) {
	standing := k.status()
	var wanted map[string]any
	var generation int64
	var err error
	switch ref.Kind {
	case object.KindGatewayClass:
		status, n := w.GatewayAPI().GatewayClassStatus(ref.Name)
		if status == nil {
			return nil, nil
		}
		generation = n
		wanted, err = asFields(status)
	case object.KindKubeGateway:
		status, n := w.GatewayAPI().GatewayStatus(ref)
		if status == nil {
			return nil, nil
		}
		notProgrammed(status.Conditions, findings)
		for i := range status.Listeners {
			notServed(status.Listeners[i].Conditions, findings)
		}
		generation = n
		wanted, err = asFields(status)
	case object.KindListenerSet:
		status, n := w.GatewayAPI().ListenerSetStatus(ref)
		if status == nil {
			return nil, nil
		}
		notProgrammed(status.Conditions, findings)
		for i := range status.Listeners {
			notServed(status.Listeners[i].Conditions, findings)
		}
		generation = n
		wanted, err = asFields(status)
	case object.KindBackendTLSPolicy:
		ancestors, n, ok := w.GatewayAPI().BackendTLSPolicyStatus(ref)
		if !ok {
			return nil, nil
		}
		generation = n
		if wanted, err = besideOthers("ancestors", standing, ancestors); err == nil {
			bounded(wanted, gatewayapi.MaxAncestors)
		}
	default:
		parents, n, ok := w.GatewayAPI().RouteStatus(ref)
		if !ok {
			return nil, nil
		}
		generation = n
		wanted, err = besideOthers("parents", standing, parents)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the status of %s: %w", ref, err)
	}
	if generation != k.Generation {
		return nil, nil // what the world holds is older; the next signal comes with the newer
	}
	keep(wanted, standing, now)
	patch := map[string]any{}
	for field, value := range wanted {
		if !reflect.DeepEqual(standing[field], value) {
			patch[field] = value
		}
	}
	for _, field := range withdrawn[ref.Kind] {
		if _, had := standing[field]; had && wanted[field] == nil {
			patch[field] = nil
		}
	}
	if len(patch) == 0 {
		return nil, nil
	}
	return patch, nil
}

// asFields is the status as the API server would give it back.
func asFields(status any) (map[string]any, error) {
	return runtime.DefaultUnstructuredConverter.ToUnstructured(status)
}

// withdrawn are the fields of statuses that are taken away when there is nothing to say in
// them.
var withdrawn = map[object.Kind][]string{
	object.KindKubeGateway: {"addresses", "attachedListenerSets"},
	object.KindListenerSet: {"listeners"},
}

// withPending adds to what is found about a ListenerSet that no Pod serves its Gateway.
func withPending(findings, gateway []object.Finding) []object.Finding {
	out := slices.Clip(findings)
	for _, f := range gateway {
		if f.Code == object.CodePending {
			out = append(out, f)
		}
	}
	return out
}

// notProgrammed takes back that a Gateway or a ListenerSet is programmed while proxies
// refuse what is made of it, or no Pod serves it.
func notProgrammed(conditions []metav1.Condition, findings []object.Finding) {
	for _, of := range []struct {
		code   object.Code
		reason gatewayv1.GatewayConditionReason
	}{{object.CodePending, gatewayv1.GatewayReasonPending}, {object.CodeRejected, gatewayv1.GatewayReasonInvalid}} {
		found := slices.DeleteFunc(slices.Clone(findings), func(f object.Finding) bool { return f.Code != of.code })
		if len(found) == 0 {
			continue
		}
		for i := range conditions {
			if c := &conditions[i]; c.Type == string(gatewayv1.GatewayConditionProgrammed) && (c.Status == metav1.ConditionTrue || of.code == object.CodeRejected) {
				c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(of.reason), text(found)
			}
		}
	}
}

// notServed takes back that a listener is programmed while no Pod serves its Gateway. What
// proxies refuse is told of the Gateway alone: they do not say for which listener.
func notServed(listener []metav1.Condition, findings []object.Finding) {
	notProgrammed(listener, slices.DeleteFunc(slices.Clone(findings), func(f object.Finding) bool { return f.Code != object.CodePending }))
}

// besideOthers is the list of what each controller says of a parent or ancestor: that of
// other controllers as it is, and ours.
func besideOthers[T any](field string, standing map[string]any, ours []T) (map[string]any, error) {
	all := []any{}
	before, _ := standing[field].([]any)
	for _, p := range before {
		fields, _ := p.(map[string]any)
		if name, _ := fields["controllerName"].(string); !slices.Contains(ownControllers, name) {
			all = append(all, p)
		}
	}
	for i := range ours {
		fields, err := asFields(&ours[i])
		if err != nil {
			return nil, err
		}
		all = append(all, fields)
	}
	if len(all) == 0 && len(before) == 0 {
		return map[string]any{}, nil
	}
	return map[string]any{field: all}, nil
}

// bounded leaves out the last of our ancestors where the API has no room for all.
func bounded(wanted map[string]any, most int) {
	if all, _ := wanted["ancestors"].([]any); len(all) > most {
		wanted["ancestors"] = all[:most]
	}
}

// keep gives the conditions of a wanted status the times at which they came to
// be as they are, out of the standing one, and keeps conditions of others.
func keep(wanted, standing map[string]any, now time.Time) {
	if list, ok := wanted["conditions"].([]any); ok {
		before, _ := standing["conditions"].([]any)
		wanted["conditions"] = since(list, before, now)
	}
	for _, l := range []struct{ field, name string }{{"listeners", "name"}, {"parents", "parentRef"}, {"ancestors", "ancestorRef"}} {
		list, _ := wanted[l.field].([]any)
		before, _ := standing[l.field].([]any)
		for _, e := range list {
			fields, _ := e.(map[string]any)
			conditions, ok := fields["conditions"].([]any)
			if !ok {
				continue
			}
			fields["conditions"] = since(conditions, conditionsAt(before, fields, l.name), now)
		}
	}
}

// conditionsAt are those of the element that names the same, written by the
// same controller.
func conditionsAt(list []any, like map[string]any, name string) []any {
	for _, e := range list {
		fields, _ := e.(map[string]any)
		if reflect.DeepEqual(fields[name], like[name]) && fields["controllerName"] == like["controllerName"] {
			conditions, _ := fields["conditions"].([]any)
			return conditions
		}
	}
	return nil
}

// since sets lastTransitionTime, and adds the conditions that stand there and
// are not among the wanted.
func since(conditions, standing []any, now time.Time) []any {
	before := map[any]map[string]any{}
	for _, s := range standing {
		if c, ok := s.(map[string]any); ok {
			before[c["type"]] = c
		}
	}
	for _, w := range conditions {
		c, _ := w.(map[string]any)
		old := before[c["type"]]
		delete(before, c["type"])
		if old["status"] == c["status"] && old["lastTransitionTime"] != nil {
			c["lastTransitionTime"] = old["lastTransitionTime"]
		} else {
			c["lastTransitionTime"] = now.UTC().Format(time.RFC3339)
		}
	}
	for _, s := range standing {
		c, _ := s.(map[string]any)
		if _, foreign := before[c["type"]]; foreign && !slices.Contains(apiConditions, fmt.Sprint(c["type"])) {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// apiConditions are the types that this package writes and removes.
var apiConditions = []string{
	string(gatewayv1.GatewayConditionAccepted), string(gatewayv1.GatewayConditionProgrammed), string(gatewayv1.ListenerConditionConflicted),
	string(gatewayv1.RouteConditionResolvedRefs), string(gatewayv1.RouteConditionPartiallyInvalid), string(gatewayv1.GatewayConditionInsecureFrontendValidationMode),
}
