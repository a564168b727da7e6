package traffic

// grpcStatuses are the codes of gRPC by name
// (github.com/grpc/grpc/blob/master/doc/statuscodes.md).
var grpcStatuses = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

// GRPCStatus is the number of a gRPC status by its name, "UNAVAILABLE"; false
// for other names.
func GRPCStatus(name string) (uint32, bool) {
	for i, n := range grpcStatuses {
		if n == name {
			return uint32(i), true
		}
	}
	return 0, false
}
