package envoycost

// How many times larger things may be than the same without metrics, or a
// cluster with five endpoints than one without. Ratios hold on any machine.
const (
	maxFull     = 3
	maxTCP      = 20
	maxHTTP     = 13
	maxInbound  = 5
	maxOutbound = 30
)
