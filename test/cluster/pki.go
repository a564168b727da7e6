package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// writeCredentials makes the cluster's authority, the certificates of the API
// server (api.crt for its clients, kc.crt for the kubelets), the key of
// service accounts, an administrator's token and a kubeconfig.
func (i *instance) writeCredentials() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fairway-cluster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := i.writeCertificate("ca", ca, ca, caKey, caKey); err != nil {
		return err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"kubernetes.default.svc"}, IPAddresses: []net.IP{net.ParseIP(i.address(0)), net.ParseIP(apiService)},
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "apiserver-kubelet-client", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for name, c := range map[string]*x509.Certificate{"api": server, "kc": client} {
		c.NotBefore, c.NotAfter, c.KeyUsage = ca.NotBefore, ca.NotAfter, x509.KeyUsageDigitalSignature
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := i.writeCertificate(name, c, ca, key, caKey); err != nil {
			return err
		}
	}
	accounts, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := i.writePEM("sa.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(accounts)); err != nil {
		return err
	}
	token := rand.Text()
	if err := i.write("tokens.csv", token+",admin,admin,system:masters\n"); err != nil {
		return err
	}
	authority, err := os.ReadFile(i.file("ca.crt"))
	if err != nil {
		return err
	}
	return i.write("kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: fairway, cluster: {server: "https://%s:6443", certificate-authority-data: %s}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: fairway, context: {cluster: fairway, user: admin}}]
current-context: fairway
`, i.address(0), base64.StdEncoding.EncodeToString(authority), token))
}

func (i *instance) writeCertificate(name string, c, parent *x509.Certificate, key *ecdsa.PrivateKey, signer crypto.Signer) error {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("signing %s: %w", name, err)
	}
	if err := i.writePEM(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return i.writePEM(name+".key", "PRIVATE KEY", keyDER)
}

func (i *instance) writePEM(name, kind string, der []byte) error {
	return i.write(name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func (i *instance) write(name, content string) error {
	if err := os.WriteFile(i.file(name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing a file of the cluster: %w", err)
	}
	return nil
}
