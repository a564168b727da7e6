package envoycost

// How many times larger things may be than the same without metrics, or a
// cluster with five endpoints than one without. Ratios hold on any machine.
const (
	maxFull     = 3
	maxTCP      = 9
	maxHTTP     = 8
	maxInbound  = 3.5
	maxOutbound = 13
)
