package resource

// Direction is which way the traffic of a listener goes.
type Direction uint8

// The directions.
const (
	Outbound Direction = iota // from the workload, through its sidecar
	Inbound                   // to the workload, through its sidecar
	Gateway                   // through a gateway
)
