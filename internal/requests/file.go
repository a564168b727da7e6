package requests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairway-mesh/fairway/internal/explain"
)

// The bounds of a file.
const (
	maxFile     = 4 << 20 // bytes
	maxRequests = 10_000
	maxSuites   = 1000
)

// Suite is one document of a file: a mesh, and requests in it.
type Suite struct {
	// Name is what reports call it; the file's name if empty.
	Name string `yaml:"name"`
	// Manifests are files and folders of objects, from the folder of the file. They are not
	// read when the command names a mesh.
	Manifests []string `yaml:"manifests"`
	// Namespace is where callers and hosts are looked for; "default" if empty.
	Namespace string    `yaml:"namespace"`
	Requests  []Request `yaml:"requests"`

	file string
}

// Request is one request, or one connection.
type Request struct {
	// Name is what reports call it; method and URL if empty.
	Name string `yaml:"name"`
	// From is who asks: "deploy/web" (or another kind, or the name alone), "pod/web-1",
	// "gateway/NAME" for somebody outside of the mesh who asks at the pods that a Gateway
	// selects, or "outside" for somebody without a proxy who asks at a pod or service. "pod/web-1.ns" is in another
	// namespace than the suite's.
	From string `yaml:"from"`
	// URL is http://host[:port]/path, https:// or tcp://host:port, the port that the client
	// connects to: at a gateway that of its pod.
	URL string `yaml:"url"`
	// Method is GET if empty.
	Method string `yaml:"method"`
	// Headers of the request; "host" takes the place of the URL's.
	Headers map[string]string `yaml:"headers"`
	// Source is the client's address.
	Source string `yaml:"source"`
	Want   Want   `yaml:"want"`

	line int
}

// Want is what is expected; what is left out may be anything.
type Want struct {
	// To are the destinations; all that get a part of the requests have to be listed.
	To []Destination `yaml:"to"`
	// Status is what the mesh itself answers: a redirect, an answer of a rule, 404 without
	// a route, 503 without an endpoint, 403 of a policy.
	Status int `yaml:"status"`
	// Closed is that the connection is closed without an answer.
	Closed bool `yaml:"closed"`
	// Location is where a redirect leads.
	Location string `yaml:"location"`
	// Path (with the query) and Host as each destination gets them.
	Path string `yaml:"path"`
	Host string `yaml:"host"`
	// Headers as each destination gets them, of those that the client sends and rules set;
	// null: it does not get the header; "*": any value.
	Headers map[string]*string `yaml:"headers"`
	// Answer are headers that rules set on the answer; null: a rule removes it, or nothing
	// sets it on an answer of the mesh itself.
	Answer map[string]*string `yaml:"answer"`
	// Policy is "allow" or "deny", what AuthorizationPolicies and PeerAuthentications say.
	Policy string `yaml:"policy"`
	// By is the AuthorizationPolicy that decides, "namespace/name" or a name in the
	// suite's namespace.
	By string `yaml:"by"`
}

// Destination is a cluster with its part of the requests.
type Destination struct {
	Host   string `yaml:"host"` // a short name is in the suite's namespace
	Port   uint32 `yaml:"port"` // 0: any
	Subset string `yaml:"subset"`
	// Cluster is the name of one that no host has: PassthroughCluster.
	Cluster string `yaml:"cluster"`
	// Weight is the percentage that it gets; 0: any.
	Weight float64 `yaml:"weight"`
}

// ReadFile reads a file of requests. Unknown fields are errors, with their line.
func ReadFile(name string) ([]*Suite, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes: give it in parts", name, maxFile)
	}
	suites, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, s := range suites {
		s.file = name
		if s.Name == "" {
			s.Name = filepath.Base(name)
		}
		for i, m := range s.Manifests {
			if !filepath.IsAbs(m) {
				s.Manifests[i] = filepath.Join(filepath.Dir(name), m)
			}
		}
	}
	return suites, nil
}

// typeName is how yaml names the Go type of a field that it does not know.
var typeName = regexp.MustCompile(`field (\S+) not found in type requests\.(\w+)`)

// Parse reads the documents of a file.
func Parse(text []byte) ([]*Suite, error) {
	decoder, nodes := yaml.NewDecoder(bytes.NewReader(text)), yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var out []*Suite
	count := 0
	for {
		s := new(Suite)
		err := decoder.Decode(s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New(typeName.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "there is no field $1 here"))
		}
		var document yaml.Node
		if err := nodes.Decode(&document); err != nil {
			return nil, err
		}
		s.place(&document)
		if err := s.check(); err != nil {
			return nil, err
		}
		out = append(out, s)
		if count += len(s.Requests); count > maxRequests || len(out) > maxSuites {
			return nil, fmt.Errorf("there are more than %d requests or %d documents: give them in several files", maxRequests, maxSuites)
		}
	}
	if count == 0 {
		return nil, errors.New("there are no requests in it")
	}
	return out, nil
}

// place notes the lines of the requests, for reports.
func (s *Suite) place(document *yaml.Node) {
	if len(document.Content) == 0 {
		return
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value != "requests" {
			continue
		}
		for n, r := range fields[i+1].Content[:min(len(s.Requests), len(fields[i+1].Content))] {
			s.Requests[n].line = r.Line
		}
	}
}

// check says what of a suite cannot be meant, and fills in what may be left out.
func (s *Suite) check() error {
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	for i := range s.Requests {
		r := &s.Requests[i]
		if r.Method == "" {
			r.Method = http.MethodGet
		}
		if r.Name == "" {
			r.Name = r.Method + " " + r.URL
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
	}
	return nil
}

func (r *Request) check() error {
	w := &r.Want
	switch {
	case r.From == "":
		return errors.New("from is missing: name who asks, such as deploy/web, gateway/NAME or outside")
	case w.Policy != "" && w.Policy != string(explain.Allow) && w.Policy != string(explain.Deny):
		return fmt.Errorf("policy %q is neither allow nor deny", w.Policy)
	case strings.HasPrefix(r.URL, "tcp://") && (w.Status != 0 || len(w.Headers)+len(w.Answer) > 0 || w.Path+w.Host+w.Location != ""):
		return errors.New("a connection (tcp://) has neither status, location, path, host, headers nor answer: want to, closed, policy or by")
	case strings.HasPrefix(r.URL, "tcp://") && len(r.Headers) > 0:
		return errors.New("a connection (tcp://) has no headers")
	case w.empty():
		return errors.New("want says nothing: give at least one of its fields")
	}
	for _, d := range w.To {
		if (d.Host == "") == (d.Cluster == "") {
			return errors.New("a destination has either host or cluster")
		}
	}
	_, err := r.request()
	return err
}

// empty tells whether nothing is expected.
func (w *Want) empty() bool {
	return len(w.To)+len(w.Headers)+len(w.Answer)+w.Status == 0 && !w.Closed && w.Location+w.Path+w.Host+w.Policy+w.By == ""
}

// request is what explain follows.
func (r *Request) request() (explain.Request, error) {
	header := http.Header{}
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	out, err := explain.NewRequest(r.Method, r.URL, header)
	if err != nil {
		return out, err
	}
	if r.Source != "" {
		if out.Source, err = netip.ParseAddr(r.Source); err != nil {
			return out, fmt.Errorf("source: %w", err)
		}
	}
	return out, nil
}
