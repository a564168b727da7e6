package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// MaxArgument is the size of one command line argument in bytes that this
// package allows. Linux stops at 131,071.
const MaxArgument = 100_000

// object is a JSON object. Envoy's configuration is written as such rather than
// with Envoy's generated types, which know fields that older binaries reject.
type object = map[string]any

// Render returns the configuration (envoy.config.bootstrap.v3.Bootstrap) as the
// values of encoding/json. An error names the field of c that is wrong.
func Render(c Config) (map[string]any, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	xds, err := xdsCluster(c, XDSCluster)
	if err != nil {
		return nil, err
	}
	tap, err := xdsCluster(c, TapCluster)
	if err != nil {
		return nil, err
	}
	tap["circuit_breakers"] = object{"thresholds": []any{object{"max_connections": 1, "max_pending_requests": 20, "max_requests": 50}}}
	probeClusters, probeListeners, err := probes(c)
	if err != nil {
		return nil, err
	}
	clusters := append([]any{xds, tap, adminCluster(c)}, probeClusters...)
	listeners := append([]any{readinessListener(c), prometheusListener(c)}, probeListeners...)
	return object{
		"node":                 node(c),
		"admin":                admin(c),
		"dynamic_resources":    dynamicResources(c),
		"static_resources":     object{"clusters": clusters, "listeners": listeners},
		"stats_config":         statsConfig(c),
		"overload_manager":     overloadManager(),
		"layered_runtime":      layeredRuntime(),
		"bootstrap_extensions": []any{filter("envoy.bootstrap.internal_listener", "extensions.bootstrap.internal_listener.v3.InternalListener", nil)},
	}, nil
}

// JSON renders c as one line of JSON, for envoy --config-yaml. It fails when the
// line is longer than MaxArgument.
func JSON(c Config) (string, error) {
	tree, err := Render(c)
	if err != nil {
		return "", err
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // the argument is read by Envoy and by people, not by a browser
	if err := enc.Encode(tree); err != nil {
		return "", fmt.Errorf("encoding the bootstrap: %w", err)
	}
	text := string(bytes.TrimSpace(line.Bytes()))
	if len(text) > MaxArgument {
		return "", fmt.Errorf("the bootstrap has %d bytes, an argument may have %d: use fewer labels or probes", len(text), MaxArgument)
	}
	return text, nil
}

// YAML renders c for people, and for envoy -c FILE.
func YAML(c Config) (string, error) {
	tree, err := Render(c)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(tree)
	if err != nil {
		return "", fmt.Errorf("encoding the bootstrap: %w", err)
	}
	return string(text), nil
}

// Args are the command line arguments that go with every such configuration,
// without the configuration itself.
//
// Draining is immediate, since a pod that ends has seconds, not the ten minutes
// over which Envoy would spread it. Hot restart is off: a container is replaced,
// and it would claim shared memory that several Envoys of one machine dispute.
func Args() []string {
	return []string{"--drain-strategy", "immediate", "--disable-hot-restart"}
}
