package envoycost

// How many times larger things may be than the same without metrics, or a
// cluster with five endpoints than one without. Ratios hold on any machine.
const (
	maxFull     = 2.5
	maxTCP      = 7
	maxHTTP     = 6
	maxInbound  = 3.2
	maxOutbound = 10
)
