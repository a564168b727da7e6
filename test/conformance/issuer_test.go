package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

// authority signs the certificates and tokens of all cases.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	root []byte // PEM
	keys string // JWKS

	mu    sync.Mutex
	pairs map[string][2][]byte // by name
}

// issuer is made once for the test program.
var issuer = sync.OnceValue(newAuthority)

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "conformance"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	point := must(key.PublicKey.Bytes()) // 4, x, y
	return &authority{
		pairs: map[string][2][]byte{}, key: key, cert: must(x509.ParseCertificate(der)), root: encode("CERTIFICATE", der),
		keys: fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"conformance","x":%q,"y":%q}]}`, raw(point[1:33]), raw(point[33:])),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func raw(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// certificate is for servers and clients of that name, always the same one.
func (a *authority) certificate(name string) (cert, key []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, made := a.pairs[name]; !made {
		cert, key := a.issue(name)
		a.pairs[name] = [2][]byte{cert, key}
	}
	return a.pairs[name][0], a.pairs[name][1]
}

// issue makes a pair with an RSA key for names that begin with "rsa.", otherwise
// with an ECDSA key.
func (a *authority) issue(name string) (cert, key []byte) {
	var k crypto.Signer = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if strings.HasPrefix(name, "rsa.") {
		k = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key))
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(k)))
}

// parsed is the certificate of a name.
func (a *authority) parsed(name string) *x509.Certificate {
	cert, _ := a.certificate(name)
	block, _ := pem.Decode(cert)
	return must(x509.ParseCertificate(block.Bytes))
}

// revoked is a list that revokes the certificate of a name.
func (a *authority) revoked(name string) []byte {
	list := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: a.parsed(name).SerialNumber, RevocationTime: time.Now().Add(-time.Minute)}},
	}
	return encode("X509 CRL", must(x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)))
}

// token is a JWT with the claims, for an hour if they do not say how long.
func (a *authority) token(claims map[string]any) string {
	all := map[string]any{"exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	signed := raw([]byte(`{"alg":"ES256","kid":"conformance","typ":"JWT"}`)) + "." + raw(must(json.Marshal(all)))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, digest[:])
	must(0, err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + raw(signature)
}
