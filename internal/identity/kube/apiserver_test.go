package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// server is a real kube-apiserver that all tests of this package share; nil
// where there is none.
var server *apiServer

type apiServer struct {
	client     kubernetes.Interface
	accountKey *ecdsa.PrivateKey // signs ServiceAccount tokens
}

func TestMain(m *testing.M) {
	os.Exit(withServer(m))
}

func withServer(m *testing.M) int {
	apiserver, etcd := os.Getenv("KUBE_APISERVER"), os.Getenv("ETCD")
	if apiserver == "" || etcd == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "identity-kube-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	ctx, cancel := context.WithCancel(context.Background())
	var stop func()
	if server, stop, err = startServer(ctx, dir, etcd, apiserver); err != nil {
		fmt.Fprintln(os.Stderr, "starting kube-apiserver:", err)
		cancel()
		return 1
	}
	defer stop()
	defer cancel()
	return m.Run()
}

func client(t *testing.T) kubernetes.Interface {
	t.Helper()
	if server == nil {
		t.Skip("no kube-apiserver: set KUBE_APISERVER and ETCD to the programs")
	}
	return server.client
}

func startServer(ctx context.Context, dir, etcd, apiserver string) (*apiServer, func(), error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	keyFile, tokens := filepath.Join(dir, "account.key"), filepath.Join(dir, "tokens.csv")
	err = errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(tokens, []byte("test,admin,admin,system:masters\n"), 0o600))
	if err != nil {
		return nil, nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, nil, err
	}
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	var running []*exec.Cmd
	run := func(program string, args ...string) error {
		c := exec.CommandContext(ctx, program, args...)
		running = append(running, c)
		return c.Start()
	}
	stop := func() {
		for _, c := range running {
			_ = c.Wait()
		}
	}
	err = errors.Join(
		run(etcd, "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync", "--log-level", "error"),
		run(apiserver, "--etcd-servers", client, "--secure-port", fmt.Sprint(ports[2]), "--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--cert-dir", filepath.Join(dir, "certs"),
			"--token-auth-file", tokens, "--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.96.0.0/16",
			"--service-account-issuer", "https://identity.test", "--service-account-key-file", keyFile, "--service-account-signing-key-file", keyFile))
	if err != nil {
		return nil, stop, err
	}
	c, err := kubernetes.NewForConfig(&rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), BearerToken: "test", QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	})
	if err != nil {
		return nil, stop, err
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		_, err := c.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return &apiServer{c, key}, stop, nil
		}
		if time.Now().After(deadline) {
			return nil, stop, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // all at the end, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
