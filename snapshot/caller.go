package snapshot

import "github.com/fairway-mesh/fairway/translate/telemetry"

// callerOf is the workload that a proxy's metrics name as the caller: what its
// node tells, as everywhere in metrics of the proxy itself.
func callerOf(c *Client) telemetry.Caller {
	return telemetry.CallerOf(c.Workload, c.Namespace, c.Labels)
}

// enterCaller is the revision that tells proxies of which workload they are, with
// one more user. All proxies of a workload share it.
func (e *Engine) enterCaller(c *Client) *Revision {
	caller := callerOf(c)
	if p := e.callers.enter(caller); p != nil {
		return p.layer
	}
	return e.callers.add(caller, NewRevision(constant(ExtensionConfig, telemetry.CallerName, caller.Facts())), Stack{}).layer
}
