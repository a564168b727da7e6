package discovery

import (
	"net/http"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/freeport"
)

// TestEnvoyStartsWithoutASecret: a cluster whose secret does not exist keeps Envoy from
// serving all others for 15 s when it starts, unless it is told that there is none.
func TestEnvoyStartsWithoutASecret(t *testing.T) {
	port := freeport.TCP(t)
	back := backend(t, "ok")
	h := serve(t, snapshot.Stack{snapshot.NewRevision(
		rdsListener(t, "outbound", port, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
		edsCluster(t, "svc", ""), endpoints(t, "svc", back), virtualHost(t, "80", "svc", "svc"),
		tlsCluster(t, "secretive", "nobodys"), endpoints(t, "secretive", back),
	)}, nil, Transport{})
	began := time.Now()
	startEnvoy(t, h.addr, true)
	eventually(t, "the first answer", func() bool { got, err := ask(http.DefaultClient, port, "svc"); return err == nil && got == "ok" })
	if took := time.Since(began); took > 14*time.Second {
		t.Errorf("the first answer came after %v, as late as without a word about the secret", took)
	}
}
