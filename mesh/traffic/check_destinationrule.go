package traffic

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// checkDestinationRule is the spec without the parts that cannot be followed,
// each with a finding, which leaves the rest of the rule in force. Parts that
// are understood and not acted upon are findings as well. The spec itself is
// not modified.
func checkDestinationRule(ref object.Ref, spec *networking.DestinationRule) (*networking.DestinationRule, []object.Finding) {
	c := &destinationCheck{ref: ref}
	clean := proto.CloneOf(spec)
	c.policy("spec.trafficPolicy", clean.TrafficPolicy)
	for i, s := range clean.Subsets {
		if s != nil {
			c.policy(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), s.TrafficPolicy)
		}
	}
	if spec.WorkloadSelector != nil && len(spec.WorkloadSelector.MatchLabels) == 0 {
		c.unsupported("spec.workloadSelector", "the selector is empty; the rule is for every client: leave it out, or list labels")
	}
	if !c.changed {
		clean = spec
	}
	return clean, c.findings
}

// destinationCheck gathers what is wrong with one rule.
type destinationCheck struct {
	ref      object.Ref
	findings []object.Finding
	changed  bool // a part was left out
}

// drop reports a part that is left out.
func (c *destinationCheck) drop(field, format string, args ...any) {
	c.changed = true
	c.findings = append(c.findings, object.Finding{Object: c.ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
}

// unsupported reports a part that stays and has no effect.
func (c *destinationCheck) unsupported(field, message string) {
	c.findings = append(c.findings, object.Finding{Object: c.ref, Field: field, Code: object.CodeUnsupported, Message: message})
}

func (c *destinationCheck) policy(at string, p *networking.TrafficPolicy) {
	if p == nil {
		return
	}
	c.loadBalancer(at+".loadBalancer", p.LoadBalancer)
	c.connectionPool(at+".connectionPool", p.ConnectionPool)
	c.outlierDetection(at+".outlierDetection", p.OutlierDetection)
	c.tls(at+".tls", p.Tls)
	c.retryBudget(at+".retryBudget", p.RetryBudget)
	p.Tunnel = c.tunnel(at+".tunnel", p.Tunnel)
	var anywhere []*networking.ClientTLSSettings // of entries that name no port
	seen := map[uint32]*networking.TrafficPolicy_PortTrafficPolicy{}
	p.PortLevelSettings = slices.DeleteFunc(p.PortLevelSettings, func(l *networking.TrafficPolicy_PortTrafficPolicy) bool {
		n := l.GetPort().GetNumber()
		field := at + ".portLevelSettings"
		switch {
		case n == 0 || n > 65535:
			c.drop(field, "an entry names no port; it is left out, and its TLS settings are in force on all ports that have none: set port.number to a port of the service")
			c.tls(field+".tls", l.GetTls())
			anywhere = append(anywhere, l.GetTls())
			return true
		case seen[n] != nil:
			c.drop(field, "port %d is listed twice; the first entry counts, with the TLS settings of the second where it has none", n)
			c.tls(field+".tls", l.GetTls())
			secure(&seen[n].Tls, l.GetTls())
			return true
		}
		seen[n] = l
		field = fmt.Sprintf("%s[port %d]", field, n)
		c.loadBalancer(field+".loadBalancer", l.LoadBalancer)
		c.connectionPool(field+".connectionPool", l.ConnectionPool)
		c.outlierDetection(field+".outlierDetection", l.OutlierDetection)
		c.tls(field+".tls", l.Tls)
		return false
	})
	// Of several the first is in force, wherever there is none.
	if i := slices.IndexFunc(anywhere, func(t *networking.ClientTLSSettings) bool { return t.GetMode() != networking.ClientTLSSettings_DISABLE }); i >= 0 {
		secure(&p.Tls, anywhere[i])
		for _, l := range p.PortLevelSettings {
			secure(&l.Tls, anywhere[i])
		}
	}
}

// secure has TLS settings be in force where there are none.
func secure(to **networking.ClientTLSSettings, t *networking.ClientTLSSettings) {
	if t.GetMode() != networking.ClientTLSSettings_DISABLE && *to == nil {
		*to = t
	}
}

// duration is the duration, or nil with a finding when it is less than least
// milliseconds or no duration at all.
func (c *destinationCheck) duration(at string, d *durationpb.Duration, least int64) *durationpb.Duration {
	switch {
	case d == nil:
		return nil
	case d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > MaxDuration:
		c.drop(at, "%v is no duration that can be used; the default applies", d.AsDuration())
		return nil
	case d.AsDuration().Milliseconds() < least:
		c.drop(at, "%v is too short; the default applies: use 1ms or more", d.AsDuration())
		return nil
	}
	return d
}

// percent keeps a number between 0 and 100.
func (c *destinationCheck) percent(at string, n *int32) {
	if *n < 0 || *n > 100 {
		c.drop(at, "%d is no percentage; the default applies: use 0 to 100", *n)
		*n = 0
	}
}

// count keeps numbers that are not negative.
func (c *destinationCheck) count(at string, n *int32) {
	if *n < 0 {
		c.drop(at, "%d is negative; there is no limit: use 1 or more", *n)
		*n = 0
	}
}

func (c *destinationCheck) connectionPool(at string, p *networking.ConnectionPoolSettings) {
	if t := p.GetTcp(); t != nil {
		t.ConnectTimeout = c.duration(at+".tcp.connectTimeout", t.ConnectTimeout, 1)
		t.MaxConnectionDuration = c.duration(at+".tcp.maxConnectionDuration", t.MaxConnectionDuration, 1)
		t.IdleTimeout = c.duration(at+".tcp.idleTimeout", t.IdleTimeout, 0)
		c.count(at+".tcp.maxConnections", &t.MaxConnections)
		if k := t.TcpKeepalive; k != nil {
			k.Time = c.duration(at+".tcp.tcpKeepalive.time", k.Time, 0)
			k.Interval = c.duration(at+".tcp.tcpKeepalive.interval", k.Interval, 0)
		}
	}
	h := p.GetHttp()
	if h == nil {
		return
	}
	h.IdleTimeout = c.duration(at+".http.idleTimeout", h.IdleTimeout, 0)
	for _, n := range []struct {
		name  string
		value *int32
	}{
		{"http1MaxPendingRequests", &h.Http1MaxPendingRequests}, {"http2MaxRequests", &h.Http2MaxRequests},
		{"maxRequestsPerConnection", &h.MaxRequestsPerConnection}, {"maxRetries", &h.MaxRetries}, {"maxConcurrentStreams", &h.MaxConcurrentStreams},
	} {
		c.count(at+".http."+n.name, n.value)
	}
	if h.UseClientProtocol && h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE {
		c.unsupported(at+".http.h2UpgradePolicy", "useClientProtocol keeps the client's protocol; connections are not upgraded: set one of the two")
	}
	if k := h.Http2KeepAlive; k != nil {
		k.Interval = c.duration(at+".http.http2KeepAlive.interval", k.Interval, 1)
		k.Timeout = c.duration(at+".http.http2KeepAlive.timeout", k.Timeout, 1)
	}
}

func (c *destinationCheck) outlierDetection(at string, o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	o.Interval = c.duration(at+".interval", o.Interval, 1)
	o.BaseEjectionTime = c.duration(at+".baseEjectionTime", o.BaseEjectionTime, 1)
	c.percent(at+".maxEjectionPercent", &o.MaxEjectionPercent)
	c.percent(at+".minHealthPercent", &o.MinHealthPercent)
	o.OutlierDetectionHttpErrorCodes = slices.DeleteFunc(o.OutlierDetectionHttpErrorCodes, func(code uint32) bool {
		bad := code < 100 || code > 599
		if bad {
			c.drop(at+".outlierDetectionHttpErrorCodes", "%d is no status code; it is left out: use 100 to 599", code)
		}
		return bad
	})
	if n := o.FailurePercentageThreshold; n.GetValue() > 100 {
		c.drop(at+".failurePercentageThreshold", "%d is no percentage; 100 applies: use 1 to 100, or 0 for never", n.Value)
		o.FailurePercentageThreshold = wrapperspb.UInt32(100)
	}
	if o.ConsecutiveLocalOriginFailures != nil && !o.SplitExternalLocalOriginErrors {
		c.unsupported(at+".consecutiveLocalOriginFailures", "it counts only together with splitExternalLocalOriginErrors: set that to true")
	}
}

func (c *destinationCheck) retryBudget(at string, r *networking.TrafficPolicy_RetryBudget) {
	if r == nil {
		return
	}
	if p := r.Percent; p != nil && !(p.Value >= 0 && p.Value <= 100) {
		c.drop(at+".percent", "%v is no percentage; the default of 20 applies: use 0 to 100", p.Value)
		r.Percent = nil
	}
	r.BudgetInterval = c.duration(at+".budgetInterval", r.BudgetInterval, 0)
}

func (c *destinationCheck) loadBalancer(at string, lb *networking.LoadBalancerSettings) {
	if lb == nil {
		return
	}
	if hash := lb.GetConsistentHash(); hash != nil && !c.hash(at+".consistentHash", hash) {
		lb.LbPolicy = nil
	}
	if u := lb.GetBackendUtilization(); u != nil {
		u.WeightStabilizationPeriod = c.duration(at+".backendUtilization.weightStabilizationPeriod", u.WeightStabilizationPeriod, 0)
		u.WeightExpirationPeriod = c.duration(at+".backendUtilization.weightExpirationPeriod", u.WeightExpirationPeriod, 0)
		u.WeightUpdatePeriod = c.duration(at+".backendUtilization.weightUpdatePeriod", u.WeightUpdatePeriod, 0)
	}
	lb.WarmupDurationSecs = c.duration(at+".warmupDurationSecs", lb.WarmupDurationSecs, 0)
	if w := lb.Warmup; w != nil {
		c.warmup(at+".warmup", w)
	}
	if lb.Warmup != nil || lb.WarmupDurationSecs != nil {
		if s := lb.GetSimple(); lb.GetConsistentHash() != nil || s == networking.LoadBalancerSettings_RANDOM || s == networking.LoadBalancerSettings_PASSTHROUGH {
			c.unsupported(at+".warmup", "endpoints warm up only under ROUND_ROBIN and LEAST_REQUEST; the others give a new endpoint its share at once")
		}
	}
	if lb.ZoneAwareLbSetting != nil {
		c.unsupported(at+".zoneAwareLbSetting", "zone-aware balancing is not there, the setting is ignored: use localityLbSetting")
	}
	c.locality(at+".localityLbSetting", lb.LocalityLbSetting)
}

func (c *destinationCheck) warmup(at string, w *networking.WarmupConfiguration) {
	w.Duration = c.duration(at+".duration", w.Duration, 0)
	if m := w.MinimumPercent; m != nil && !(m.Value >= 0 && m.Value <= 100) {
		c.drop(at+".minimumPercent", "%v is no percentage; the default of 10 applies: use 0 to 100", m.Value)
		w.MinimumPercent = nil
	}
	if a := w.Aggression; a != nil && !(a.Value >= 1) {
		c.drop(at+".aggression", "%v is less than 1; the default of 1 applies", a.Value)
		w.Aggression = nil
	}
}

// hash tells whether the consistent hash has something to hash by, and keeps
// its sizes in what Envoy takes.
func (c *destinationCheck) hash(at string, h *networking.LoadBalancerSettings_ConsistentHashLB) bool {
	named := false
	switch k := h.HashKey.(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		named = k.HttpHeaderName != ""
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		named = k.HttpQueryParameterName != ""
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		named = k.UseSourceIp
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		named = k.HttpCookie.GetName() != ""
		if k.HttpCookie != nil {
			k.HttpCookie.Ttl = c.duration(at+".httpCookie.ttl", k.HttpCookie.Ttl, 0)
		}
	}
	if !named {
		c.drop(at, "there is nothing to hash by; requests are balanced by LEAST_REQUEST: set httpHeaderName, httpCookie, httpQueryParameterName or useSourceIp")
		return false
	}
	if m := h.GetMaglev(); m != nil && m.TableSize != 0 && (m.TableSize > 5000011 || !new(big.Int).SetUint64(m.TableSize).ProbablyPrime(0)) {
		c.drop(at+".maglev.tableSize", "%d is no prime up to 5000011; the default of 65537 applies", m.TableSize)
		m.TableSize = 0
	}
	//nolint:staticcheck // people's rules carry the field that ringHash replaced
	c.ringSize(at+".minimumRingSize", &h.MinimumRingSize)
	if r := h.GetRingHash(); r != nil {
		c.ringSize(at+".ringHash.minimumRingSize", &r.MinimumRingSize)
	}
	return true
}

func (c *destinationCheck) ringSize(at string, n *uint64) {
	if *n > 8<<20 { // Envoy's limit
		c.drop(at, "%d is more than 8388608; the default of 1024 applies", *n)
		*n = 0
	}
}

func (c *destinationCheck) locality(at string, l *networking.LocalityLoadBalancerSetting) {
	if l == nil {
		return
	}
	if len(l.Distribute) > 0 && (len(l.Failover) > 0 || len(l.FailoverPriority) > 0) {
		c.drop(at, "distribute excludes failover and failoverPriority; distribute counts and the others are left out: keep one")
		l.Failover, l.FailoverPriority = nil, nil
	}
	l.Distribute = slices.DeleteFunc(l.Distribute, func(d *networking.LocalityLoadBalancerSetting_Distribute) bool {
		sum := uint64(0)
		for _, w := range d.GetTo() {
			sum += uint64(w)
		}
		if d.GetFrom() == "" || sum != 100 {
			c.drop(at+".distribute["+d.GetFrom()+"]", "the entry is left out: it needs from, and weights in to that sum up to 100, not %d", sum)
			return true
		}
		return false
	})
	l.Failover = slices.DeleteFunc(l.Failover, func(f *networking.LocalityLoadBalancerSetting_Failover) bool {
		if bad := f.GetFrom() == "" || f.GetFrom() == f.GetTo() || strings.ContainsAny(f.GetFrom()+f.GetTo(), "*/"); bad {
			c.drop(at+".failover["+f.GetFrom()+"]", "the entry is left out: from and to are two different regions, without zones and wildcards")
			return true
		}
		return false
	})
}
