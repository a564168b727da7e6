package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Settings are what Fairway lets operators decide beyond Istio's MeshConfig:
// the section `fairway` of the mesh configuration, in the ConfigMap as in the
// file of --mesh-config. They are few, comparable, and change live.
type Settings struct {
	// OwnedGatewayHosts (gatewayHosts: owned) gives each host of a gateway to the
	// namespace of its oldest Gateway alone. By default (shared) newer Gateways
	// and their routes add what the older ones leave over.
	OwnedGatewayHosts bool
	// LocalEndpoints (localEndpoints: "ns1,ns2", or "*") names the namespaces whose
	// objects may lead proxies to loopback, link-local and Unix socket addresses,
	// and to the proxies' own ports. By default there are none.
	LocalEndpoints string
	// RouteHold (routeHold: 3s, at most 30s, 0s for not at all) is how long a route
	// keeps its last version while a destination that it names anew does not exist.
	RouteHold time.Duration
	// NamedSecrets (namedSecrets: 500, at most 2000) is how many Secrets the objects
	// of one namespace may name for gateways and sidecars; in all 2000 are read. Of
	// too many the oldest objects have theirs.
	NamedSecrets int
	// SubsetClusters (subsetClusters: 4000, at most 100000) is how many clusters the
	// subsets of those DestinationRules of one namespace may become that multiply: they
	// are for a wildcard, or for many ports. The root namespace, whose rules are the
	// operator's, may have eight times as many. A trafficPolicy of more than 1 KiB counts
	// as well, for one cluster for each KiB wherever a cluster says it. Every proxy that
	// sees the hosts holds them. Of too many the oldest rules are in force as they are.
	SubsetClusters int
	// ExportedResources (exportedResources: 4000, at most 100000) is how many clusters and
	// listeners the Services and ServiceEntries of one namespace may put on the sidecars of
	// others that ask for more than a hundred each; as many may be listeners, and six times
	// as many clusters and listeners, of all of them. The root namespace's are not bounded.
	// Every sidecar that sees them holds them. Of too many the newest objects are served in
	// their own namespace only.
	ExportedResources int
	// IssuerKeysWritten (issuerKeys: written) keeps the control plane from asking issuers
	// of tokens for their keys. By default (discover) it asks those that a
	// RequestAuthentication names without jwks and jwksUri.
	IssuerKeysWritten bool
	// IssuerAddresses (issuerAddresses: "10.96.0.0/12, 192.0.2.7/32") are prefixes of
	// addresses at which issuers may be asked though they are private, of the cluster or
	// the control plane's own. By default there are none.
	IssuerAddresses string
	// IssuerRefresh (issuerRefresh: 20m, from 5s to 24h) is how long after keys have come
	// the issuer is asked for them again.
	IssuerRefresh time.Duration
	// LearnedScope (learnedScope: "shop, orders", or "*") names the namespaces whose sidecars
	// hold the HTTP hosts that their workloads use, and ask for another with the first
	// request to it. By default there are none, and sidecars hold all hosts that they may use.
	// See LearnedScopeAnnotation.
	LearnedScope string
	// LearnedFor (learnedFor: 24h, from 10s to 720h) is for how long one sidecar of a workload
	// holds only what was asked for in that time. What was not asked for by its end goes
	// from the workload.
	LearnedFor time.Duration
	// ListenerDrain (listenerDrain: 10m, from 0s to 1h) is how long the Envoys of the mesh go
	// on with connections of a listener that has changed, their --drain-time-s. When the
	// first namespace learns, sidecars that are connected hold all hosts for that long: the
	// listeners that they had do not ask.
	ListenerDrain time.Duration
}

// DefaultSettings are the settings of a mesh configuration that has no section
// `fairway`.
func DefaultSettings() Settings {
	return Settings{RouteHold: 3 * time.Second, NamedSecrets: 500, SubsetClusters: 4000, ExportedResources: 4000, IssuerRefresh: 20 * time.Minute, ListenerDrain: 10 * time.Minute, LearnedFor: 24 * time.Hour}
}

// MayLeadInside tells whether objects of the namespace may name addresses that
// mean the proxy's own host or pod (LocalEndpoints).
func (s Settings) MayLeadInside(namespace string) bool { return lists(s.LocalEndpoints, namespace) }

// Learns tells whether sidecars of the namespace hold what their workloads use
// (LearnedScope); of the empty namespace, whether any do.
func (s Settings) Learns(namespace string) bool {
	if namespace == "" {
		return strings.Trim(s.LearnedScope, ", ") != ""
	}
	return lists(s.LearnedScope, namespace)
}

// LearnedScopeAnnotation of a Pod, "true" or "false", decides for its sidecar in place of
// LearnedScope. Nothing learns in a mesh in which no namespace does.
const LearnedScopeAnnotation = "fairway.mesh/learnedScope"

// LearnsFor tells whether the sidecar of a workload holds what the workload uses.
func (s Settings) LearnsFor(w *registry.Workload) bool {
	if own, err := strconv.ParseBool(w.Annotations[LearnedScopeAnnotation]); err == nil {
		return own && s.Learns("")
	}
	return s.Learns(w.Namespace)
}

// lists tells whether a list of namespaces has the one, or all.
func lists(list, namespace string) bool {
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n == "*" || n == namespace {
			return true
		}
	}
	return false
}

// settings are the fields of the section, with what reads each of them.
var settings = map[string]func(*Settings, json.RawMessage) error{
	"gatewayHosts": func(s *Settings, v json.RawMessage) error {
		word, err := oneOf(v, "shared", "owned")
		s.OwnedGatewayHosts = word == "owned"
		return err
	},
	"localEndpoints": func(s *Settings, v json.RawMessage) error { return decode(v, &s.LocalEndpoints) },
	"routeHold": func(s *Settings, v json.RawMessage) (err error) {
		s.RouteHold, err = durationWithin(v, 0, 30*time.Second)
		return err
	},
	"namedSecrets": func(s *Settings, v json.RawMessage) (err error) {
		s.NamedSecrets, err = numberWithin(v, 1, 2000)
		return err
	},
	"subsetClusters": func(s *Settings, v json.RawMessage) (err error) {
		s.SubsetClusters, err = numberWithin(v, 1, 100_000)
		return err
	},
	"exportedResources": func(s *Settings, v json.RawMessage) (err error) {
		s.ExportedResources, err = numberWithin(v, 1, 100_000)
		return err
	},
	"issuerKeys": func(s *Settings, v json.RawMessage) error {
		word, err := oneOf(v, "discover", "written")
		s.IssuerKeysWritten = word == "written"
		return err
	},
	"issuerAddresses": func(s *Settings, v json.RawMessage) (err error) {
		s.IssuerAddresses, err = prefixesIn(v)
		return err
	},
	"learnedScope": func(s *Settings, v json.RawMessage) error { return decode(v, &s.LearnedScope) },
	"learnedFor": func(s *Settings, v json.RawMessage) (err error) {
		s.LearnedFor, err = durationWithin(v, 10*time.Second, 720*time.Hour)
		return err
	},
	"listenerDrain": func(s *Settings, v json.RawMessage) (err error) {
		s.ListenerDrain, err = durationWithin(v, 0, time.Hour)
		return err
	},
	"issuerRefresh": func(s *Settings, v json.RawMessage) (err error) {
		s.IssuerRefresh, err = durationWithin(v, 5*time.Second, 24*time.Hour)
		return err
	},
}

// parseSettings reads the section `fairway` of a mesh configuration. A field
// that is unknown or has no valid value keeps its default, with a finding.
func parseSettings(ref object.Ref, section json.RawMessage) (Settings, []object.Finding) {
	out := DefaultSettings()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(section, &fields); len(section) > 0 && err != nil {
		return out, []object.Finding{{Object: ref, Field: "fairway", Code: object.CodeInvalid, Message: "not a map of settings; the defaults are in force: write `fairway:` with one setting to a line"}}
	}
	var findings []object.Finding
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		read, ok := settings[name]
		if !ok {
			findings = append(findings, object.Finding{Object: ref, Field: "fairway." + name, Code: object.CodeUnsupported,
				Message: fmt.Sprintf("unknown setting; it is ignored: the settings are %s", strings.Join(slices.Sorted(maps.Keys(settings)), ", "))})
			continue
		}
		next := out
		if err := read(&next, fields[name]); err != nil {
			findings = append(findings, object.Finding{Object: ref, Field: "fairway." + name, Code: object.CodeInvalid, Message: fmt.Sprintf("%v; the default is in force: correct the value", err)})
			continue
		}
		out = next
	}
	return out, findings
}

// decode reads a value of JSON that must be of the type of into.
func decode(v json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(v))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s is not a value of this setting: %w", v, err)
	}
	return nil
}

// oneOf reads a word that must be one of those given.
func oneOf(v json.RawMessage, words ...string) (string, error) {
	var word string
	if err := json.Unmarshal(v, &word); err != nil || !slices.Contains(words, word) {
		return "", fmt.Errorf("%s is not one of %s", v, strings.Join(words, ", "))
	}
	return word, nil
}

func numberWithin(v json.RawMessage, least, most int) (int, error) {
	n := 0
	if err := decode(v, &n); err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s is not a number from %d to %d", v, least, most)
	}
	return n, nil
}

// durationWithin reads a duration as time.ParseDuration does ("1500ms").
func durationWithin(v json.RawMessage, least, most time.Duration) (time.Duration, error) {
	var text string
	if err := json.Unmarshal(v, &text); err != nil {
		return 0, fmt.Errorf("%s is not a duration such as \"3s\"", v)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("%q is not a duration from %s to %s", text, least, most)
	}
	return d, nil
}

// prefixesIn reads a list of prefixes of addresses.
func prefixesIn(v json.RawMessage) (string, error) {
	var list string
	if err := decode(v, &list); err != nil {
		return "", err
	}
	if n := strings.Count(list, ","); list != "" && len(prefixes(list)) != n+1 {
		return "", fmt.Errorf("%q is not a list of prefixes such as \"10.96.0.0/12, 192.0.2.7/32\"", list)
	}
	return list, nil
}
