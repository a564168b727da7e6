package gatewayapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ListenerSetStatus is what a ListenerSet is to be told; nil when its Gateway is for
// another controller, or does not exist. Generation is what was looked at.
func (w *View) ListenerSetStatus(ref object.Ref) (status *gatewayv1.ListenerSetStatus, generation int64) {
	declared := w.ListenerSet(ref)
	g := w.ServedBy(ref)
	if g == nil {
		return nil, 0
	}
	n := declared.generation
	out := &gatewayv1.ListenerSetStatus{}
	say := func(is bool, reason gatewayv1.ListenerSetConditionReason, message string) {
		out.Conditions = append(out.Conditions, condition(gatewayv1.ListenerSetConditionAccepted, is, reason, message, n))
		if is {
			reason, message = gatewayv1.ListenerSetReasonProgrammed, "the listeners are served, and no connected proxy refuses them"
		}
		out.Conditions = append(out.Conditions, condition(gatewayv1.ListenerSetConditionProgrammed, is, reason, message, n))
	}
	s := g.attached(ref)
	if s == nil {
		say(false, gatewayv1.ListenerSetReasonNotAllowed, w.detached(declared, g))
		return out, n
	}
	listeners, valid := w.listenerStatuses(g, &s.declarer, s.listeners)
	for _, l := range listeners {
		out.Listeners = append(out.Listeners, gatewayv1.ListenerEntryStatus(l))
	}
	switch {
	case w.accepted(g).Status != metav1.ConditionTrue:
		say(false, gatewayv1.ListenerSetReasonParentNotAccepted, "the Gateway is not accepted: see its status")
	case valid == 0:
		say(false, gatewayv1.ListenerSetReasonListenersNotValid, "no listener is served: see their conditions")
	case valid < len(listeners):
		say(true, gatewayv1.ListenerSetReasonListenersNotValid, "some listeners are not served: see their conditions")
	default:
		say(true, gatewayv1.ListenerSetReasonAccepted, "the listeners are added to those of the Gateway")
	}
	return out, n
}

// attachedSets counts the ListenerSets that add a listener to a Gateway.
func (w *View) attachedSets(g *Gateway) (n int32) {
	for _, s := range g.sets {
		for _, l := range s.listeners {
			if w.opens(g, l) {
				n++
				break
			}
		}
	}
	return n
}
