package gatewayapi

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxBundle is how many bytes of certificates an object may have proxies trust at one place.
const maxBundle = 256 << 10

// bundle is what a ConfigMap holds of certificates of authorities.
type bundle struct {
	roots   string // in PEM
	problem string // why there are none
}

// parseBundle reads the certificates of a ConfigMap.
func parseBundle(o *corev1.ConfigMap) *bundle {
	text := []byte(o.Data["ca.crt"])
	if len(text) == 0 {
		text = o.BinaryData["ca.crt"]
	}
	if len(text) > maxBundle {
		return &bundle{problem: fmt.Sprintf("has more than %d bytes in ca.crt: keep the roots that are needed", maxBundle)}
	}
	var roots bytes.Buffer
	n := 0
	for rest := bytes.TrimSpace(text); len(rest) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return &bundle{problem: "has something else than certificates in PEM in ca.crt: remove it"}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return &bundle{problem: fmt.Sprintf("has a certificate in ca.crt that cannot be read (%v): replace it", err)}
		}
		// Said again as it was understood: Envoy refuses more than this reader passes over.
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return &bundle{problem: fmt.Sprintf("has a certificate in ca.crt that cannot be written again (%v): replace it", err)}
		}
		rest = bytes.TrimSpace(rest)
	}
	if begun := bytes.Count(text, []byte("-----BEGIN ")); begun != n {
		return &bundle{problem: fmt.Sprintf("has %d blocks in ca.crt, of which %d can be read: replace the others", begun, n)}
	}
	if roots.Len() > maxBundle {
		return &bundle{problem: fmt.Sprintf("has more than %d bytes of certificates in ca.crt: keep the roots that are needed", maxBundle)}
	}
	if n == 0 {
		return &bundle{problem: "has no ca.crt: put the certificates of the authority there, in PEM"}
	}
	return &bundle{roots: roots.String()}
}

// authorities gathers the certificates of several ConfigMaps, as far as there is room.
type authorities struct {
	from  []object.Ref // all that were asked
	roots []string     // in PEM
	size  int
}

// add takes in those of one more, or says why it cannot.
func (a *authorities) add(x *Index, ref object.Ref) (problem string) {
	a.from = append(a.from, ref)
	b, _ := x.bundles.Get(ref.Namespace + "/" + ref.Name)
	switch {
	case b == nil:
		return fmt.Sprintf("there is no ConfigMap %s/%s: create it, with the certificates of the authority in ca.crt", ref.Namespace, ref.Name)
	case b.problem != "":
		return fmt.Sprintf("ConfigMap %s/%s %s", ref.Namespace, ref.Name, b.problem)
	case a.size+len(b.roots) > maxBundle:
		return fmt.Sprintf("ConfigMap %s/%s and those before it have more than %d bytes of certificates: keep those that are needed", ref.Namespace, ref.Name, maxBundle)
	}
	a.roots, a.size = append(a.roots, b.roots), a.size+len(b.roots)
	return ""
}

// of are what objects of a namespace may trust; nil when there are none.
func (a *authorities) of(namespace string) *object.Authorities {
	return object.NewAuthorities(namespace, a.from, a.roots)
}
