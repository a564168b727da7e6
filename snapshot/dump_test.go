package snapshot_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestDumpHidesKeys shows that a proxy has a certificate, and not its key.
func TestDumpHidesKeys(t *testing.T) {
	const key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
	engine := snapshot.NewEngine(slog.New(slog.DiscardHandler), &snapshot.Certificates{
		Acquire: func(snapshot.CertificateKey) (func(), error) { return func() {}, nil },
		Current: func(snapshot.CertificateKey) ([]byte, []byte, []byte, error) {
			return []byte("chain"), []byte(key), []byte("roots"), nil
		},
	}, nil)
	engine.Update(mesh.Build(nil), &mesh.Dirty{All: true})
	view, err := engine.Attach(context.Background(), &snapshot.Client{Role: snapshot.RoleSidecar, Pod: "a", Namespace: "default", IP: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	dump, err := engine.Dump("a.default", false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(dump)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"PRIVATE KEY", "c2VjcmV0", "LS0tLS1CRUdJTi"} { // also as base64 of the whole
		if strings.Contains(string(text), secret) {
			t.Errorf("the dump has %q", secret)
		}
	}
	if view.Current().Len(snapshot.Secret) == 0 || !strings.Contains(string(text), "(not shown)") {
		t.Error("the dump does not say that there are secrets")
	}
}
