package traffic

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ClientCertificate is the certificate that gateways show to the servers which a
// BackendTLSPolicy has them verify; the zero one is none.
type ClientCertificate struct {
	Secret object.Ref
	By     object.Ref // the Gateway that names it
	Since  time.Time  // when that was created
}
