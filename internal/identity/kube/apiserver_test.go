package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/test/kube"
)

// server is the API server that all tests of this package share.
var server struct {
	client     kubernetes.Interface
	accountKey *ecdsa.PrivateKey // signs ServiceAccount tokens
}

func TestMain(m *testing.M) { os.Exit(withServer(m)) }

func withServer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "identity-kube-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	key := filepath.Join(dir, "account.key")
	if server.accountKey, err = writeKey(key); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := kube.Start(context.Background(), kube.Options{NoCRDs: true, Arguments: []string{
		"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key, "--service-account-issuer=https://identity.test",
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Close()
	if server.client, err = kubernetes.NewForConfig(s.REST); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// writeKey makes a key that the API server is to sign tokens with, so that
// tests can sign some that it never would.
func writeKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func client(*testing.T) kubernetes.Interface { return server.client }
