package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// testCase is a folder of testdata/cases.
type testCase struct {
	// Title says what must be true.
	Title string `yaml:"title"`
	// Uses names files of testdata/worlds that come before world.yaml.
	Uses []string `yaml:"uses"`
	// Refuses are the beginnings of statistics of Envoy that may tell of refused updates,
	// as the case is about what is refused; by default nothing may be.
	Refuses []string `yaml:"refuses"`
	// Steps follow each other; the first begins with the world.
	Steps []step `yaml:"steps"`
}

// step changes the world and then looks at it.
type step struct {
	// Apply is a file of the folder. The first step has world.yaml in front of it.
	Apply string `yaml:"apply"`
	// Delete are objects, "Kind name" or "Kind namespace/name".
	Delete []string `yaml:"delete"`
	// Pause is how long to wait between two objects.
	Pause time.Duration `yaml:"pause"`
	// Start are pods' proxies that start only now, as "namespace/workload".
	Start []string `yaml:"start"`
	// Under are URLs requested without a pause while the step is done, and
	// "tcp://host:port" of connections that stay open: all must succeed. From
	// another workload than sleep: "namespace/workload URL".
	Under []string `yaml:"under"`
	// Requests are made in this order.
	Requests []request `yaml:"requests"`
	// Findings are texts that the control plane's findings must hold.
	Findings []string `yaml:"findings"`

	objects []*unstructured.Unstructured
}

// request is what is sent, how often, and what must come back.
type request struct {
	// From is the workload that sends: "sleep" (also when empty), "namespace/name",
	// or "outside" for a machine that is not in the mesh.
	From string `yaml:"from"`
	// URL is requested over HTTP; TCP ("host:port") is sent a line. One of the two.
	URL string `yaml:"url"`
	TCP string `yaml:"tcp"`
	// Via connects to this host in place of the URL's, on the same port.
	Via string `yaml:"via"`
	// Proxied begins connections with the PROXY protocol, in the name of this address.
	Proxied string `yaml:"proxied"`
	// Method is GET if empty. Body is sent as it is.
	Method string `yaml:"method"`
	Body   string `yaml:"body"`
	// Headers of the request; "host" replaces the Host.
	Headers map[string]string `yaml:"headers"`
	// HTTP2 speaks HTTP/2 from the start, also without TLS. GRPC is a unary call.
	HTTP2 bool `yaml:"http2"`
	GRPC  bool `yaml:"grpc"`
	// Keep sends all requests on one connection.
	Keep bool `yaml:"keep"`
	// Token is a JWT's claims, signed and sent as bearer.
	Token map[string]any `yaml:"token"`
	// SNI is the server name of TLS, if not the URL's. Certificate is the name of
	// a client certificate.
	SNI         string `yaml:"sni"`
	Certificate string `yaml:"certificate"`
	// Count is how often, 1 if zero.
	Count int `yaml:"count"`
	// Want is what all must see.
	Want want `yaml:"want"`
	// Within is how long to try again, 10 s if zero.
	Within time.Duration `yaml:"within"`
}

// want is what requests must see; what is zero is not looked at, but for Status.
type want struct {
	// Status is 200 if zero, without Blocked.
	Status int `yaml:"status"`
	// Blocked means that the connection fails or ends without an answer.
	Blocked bool `yaml:"blocked"`
	// By is the workload that answers all, or Shares of several (±0.12, all others none).
	By     string             `yaml:"by"`
	Shares map[string]float64 `yaml:"shares"`
	// Pods is how many different ones answer.
	Pods int `yaml:"pods"`
	// Path (with query), Host, Method and Protocol as the server saw them.
	Path     string `yaml:"path"`
	Host     string `yaml:"host"`
	Method   string `yaml:"method"`
	Protocol string `yaml:"protocol"`
	// Client is the name in the certificate by which the server knows its client.
	Client string `yaml:"client"`
	// Seen are headers as the server saw them, Answer those of the response; a null
	// value means absent, "*" any value.
	Seen   map[string]*string `yaml:"seen"`
	Answer map[string]*string `yaml:"answer"`
	// Body is a part of the response's body.
	Body string `yaml:"body"`
	// Copies is how often each workload received each request, on average: mirrors
	// and retries count. What is not named must have received none.
	Copies map[string]float64 `yaml:"copies"`
	// Reported are texts of spans: for each list a collector must have received a
	// report that holds them all together with the request's id, which a custom tag
	// of the case puts there. An empty list means that no report holds the id.
	Reported [][]string `yaml:"reported"`
	// Least and Most bound the time of each request.
	Least time.Duration `yaml:"least"`
	Most  time.Duration `yaml:"most"`
	// ServerName is a name of the certificate that the server shows.
	ServerName string `yaml:"serverName"`
	// GRPCStatus is the code of a call.
	GRPCStatus int `yaml:"grpcStatus"`
	// Answered is a part of requests that get Status, 1 if zero (±0.12).
	Answered float64 `yaml:"answered"`
}

// readCase reads a folder. Unknown fields are errors.
func readCase(folder string) (*testCase, error) {
	text, err := os.ReadFile(filepath.Join(folder, "requests.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading a case: %w", err)
	}
	c := new(testCase)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("reading %s/requests.yaml: %w", folder, err)
	}
	if c.Title == "" || len(c.Steps) == 0 {
		return nil, fmt.Errorf("%s/requests.yaml needs a title and steps", folder)
	}
	files := []string{"testdata/worlds/sleep.yaml"}
	for _, u := range c.Uses {
		files = append(files, filepath.Join("testdata/worlds", u+".yaml"))
	}
	files = append(files, filepath.Join(folder, "world.yaml"))
	for i := range c.Steps {
		if c.Steps[i].Apply != "" {
			files = append(files, filepath.Join(folder, c.Steps[i].Apply))
		}
		for _, f := range files {
			objects, err := readObjects(f)
			if err != nil {
				return nil, err
			}
			c.Steps[i].objects = append(c.Steps[i].objects, objects...)
		}
		files = nil
	}
	return c, nil
}

// placeholder stands for what exists only while the tests run: ${JWKS} (the keys
// that sign tokens), ${CERT name} and ${KEY name} (a certificate of that name,
// base64), ${ROOT} (who signed it, base64), ${CRL name} (a list that revokes the
// certificate of that name, base64), ${HASH name} and ${SPKI name} (SHA-256 of the
// certificate and of its public key).
var placeholder = regexp.MustCompile(`\$\{(JWKS|ROOT|(?:CERT|KEY|CRL|HASH|SPKI) [^}]+)\}`)

func expand(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		kind, name, _ := strings.Cut(p[2:len(p)-1], " ")
		switch kind {
		case "JWKS":
			return issuer().keys
		case "ROOT":
			return base64.StdEncoding.EncodeToString(issuer().root)
		case "CRL":
			return base64.StdEncoding.EncodeToString(issuer().revoked(name))
		case "HASH":
			return fmt.Sprintf("%x", sha256.Sum256(issuer().parsed(name).Raw))
		case "SPKI":
			digest := sha256.Sum256(issuer().parsed(name).RawSubjectPublicKeyInfo)
			return base64.StdEncoding.EncodeToString(digest[:])
		}
		cert, key := issuer().certificate(name)
		if kind == "KEY" {
			cert = key
		}
		return base64.StdEncoding.EncodeToString(cert)
	})
}

// readObjects reads the objects of a file.
func readObjects(file string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a world: %w", err)
	}
	out, err := parseObjects(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return out, nil
}

// parseObjects reads the objects of a file.
func parseObjects(text []byte) (out []*unstructured.Unstructured, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(expand(string(text))))
	for {
		fields := map[string]any{}
		if err := decoder.Decode(&fields); err != nil {
			if err.Error() == "EOF" {
				return out, nil
			}
			return nil, err
		}
		if len(fields) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: wide(fields).(map[string]any)}
		if u.GetNamespace() == "" && u.GetKind() != "Namespace" && u.GetKind() != "Node" && u.GetKind() != "GatewayClass" {
			u.SetNamespace("default")
		}
		out = append(out, u)
	}
}

// wide makes whole numbers int64, as unstructured objects want them.
func wide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = wide(e)
		}
	case []any:
		for i, e := range v {
			v[i] = wide(e)
		}
	case int:
		return int64(v)
	}
	return v
}
