package kube

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Options say what is started. The zero value is what most tests want.
type Options struct {
	// RBAC turns authorization on; else everybody may do everything.
	RBAC bool
	// NoCRDs leaves out the custom resources of Istio and of the Gateway API.
	NoCRDs bool
	// Arguments are further ones for kube-apiserver, "--flag=value".
	Arguments []string
	// Progress gets a line when the programs have to be built first; nil: os.Stderr.
	Progress io.Writer
}

// Server is an etcd and a kube-apiserver on loopback, with ports and a
// directory of their own.
type Server struct {
	// Kubeconfig is a file for kubectl and the like, of a member of system:masters.
	Kubeconfig string
	// REST reaches the API server as the same.
	REST *rest.Config
	// Dir is the server's directory, with the logs of both programs.
	Dir string

	programs    string // where kube-apiserver is
	options     Options
	credentials *credentials
	etcd        *process
	apiserver   *process
	owner       *os.File
	etcdURL     string
	etcdPeer    string // where its own port for other members is
	etcdProgram string
	port        int
}

// Start runs the programs that $ETCD and $KUBE_APISERVER name, else those that
// Build makes, waits until the API server is ready, and creates the custom
// resources. Everything ends with Close, or with this process.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Progress == nil {
		options.Progress = os.Stderr
	}
	etcd, apiserver, err := programs(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	sweep()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, fmt.Errorf("making a directory for the API server: %w", err)
	}
	s := &Server{Dir: dir, options: options, programs: apiserver}
	if s.owner, err = own(dir); err != nil {
		s.Close()
		return nil, fmt.Errorf("making a directory for the API server: %w", err)
	}
	if err := s.start(ctx, etcd); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func programs(ctx context.Context, progress io.Writer) (etcd, apiserver string, err error) {
	etcd, apiserver = os.Getenv("ETCD"), os.Getenv("KUBE_APISERVER")
	if etcd != "" && apiserver != "" {
		return etcd, apiserver, nil
	}
	dir, err := Build(ctx, progress)
	if err != nil {
		return "", "", err
	}
	return cmp.Or(etcd, filepath.Join(dir, "etcd")), cmp.Or(apiserver, filepath.Join(dir, "kube-apiserver")), nil
}

func (s *Server) start(ctx context.Context, etcd string) error {
	var err error
	if s.credentials, err = newCredentials(s.Dir); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	s.port, s.etcdURL, s.etcdPeer, s.etcdProgram = ports[0], "http://127.0.0.1:"+strconv.Itoa(ports[1]), "http://127.0.0.1:"+strconv.Itoa(ports[2]), etcd
	if err := s.startEtcd(); err != nil {
		return err
	}
	if err := s.describe(); err != nil {
		return err
	}
	if err := s.startAPIServer(ctx); err != nil {
		return err
	}
	if s.options.NoCRDs {
		return nil
	}
	return s.InstallCRDs(ctx)
}

// describe fills in how the server is reached.
func (s *Server) describe() error {
	s.REST = &rest.Config{Host: "https://127.0.0.1:" + strconv.Itoa(s.port), BearerToken: s.credentials.token, TLSClientConfig: rest.TLSClientConfig{CAFile: s.credentials.ca}, QPS: -1}
	s.Kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	c := clientcmdapi.NewConfig()
	c.Clusters["test"] = &clientcmdapi.Cluster{Server: s.REST.Host, CertificateAuthority: s.credentials.ca}
	c.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: s.credentials.token}
	c.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin"}
	c.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*c, s.Kubeconfig); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

func (s *Server) startEtcd() (err error) {
	s.etcd, err = start(s.Dir, "etcd", s.etcdProgram, "--data-dir", filepath.Join(s.Dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", s.etcdURL, "--advertise-client-urls", s.etcdURL, "--listen-peer-urls", s.etcdPeer, "--initial-advertise-peer-urls", s.etcdPeer, "--initial-cluster", "default="+s.etcdPeer)
	return err
}

func (s *Server) startAPIServer(ctx context.Context) error {
	mode := "AlwaysAllow"
	if s.options.RBAC {
		mode = "RBAC"
	}
	c := s.credentials
	arguments := append([]string{
		"--etcd-servers=" + s.etcdURL, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.port),
		"--tls-cert-file=" + c.cert, "--tls-private-key-file=" + c.key, "--cert-dir=" + s.Dir, "--token-auth-file=" + c.tokens, "--authorization-mode=" + mode,
		"--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.serviceAccount, "--service-account-signing-key-file=" + c.serviceAccount,
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--profiling=false",
	}, s.options.Arguments...)
	var err error
	if s.apiserver, err = start(s.Dir, "kube-apiserver", s.programs, arguments...); err != nil {
		return err
	}
	return s.ready(ctx)
}

// patience is how long the API server may take to be ready.
const patience = 2 * time.Minute

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kubernetes.NewForConfig(s.REST)
	if err != nil {
		return err
	}
	for {
		_, err := client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return nil
		}
		for _, p := range []*process{s.etcd, s.apiserver} {
			if !p.running() {
				return fmt.Errorf("%s ended at its start:\n%s", p.name, p.tail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server did not become ready: %w:\n%s", err, s.apiserver.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the API server; etcd stays, and with it all objects.
func (s *Server) Stop() { s.apiserver.kill() }

// Resume starts the API server again at the same address.
func (s *Server) Resume(ctx context.Context) error { return s.startAPIServer(ctx) }

// Close ends both programs and removes their directory.
func (s *Server) Close() {
	for _, p := range []*process{s.apiserver, s.etcd} {
		if p != nil {
			p.kill()
		}
	}
	_ = os.RemoveAll(s.Dir)
	if s.owner != nil {
		_ = s.owner.Close()
	}
}

// freePorts are ports that nobody listened on a moment ago.
func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a port: %w", err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
