//go:build linux

package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// environment is the container's environment, NAME=VALUE, in the order in which
// the manifest defines it.
func (m *Machine) environment(pod *corev1.Pod, c *corev1.Container) ([]string, error) {
	values := map[string]string{}
	var order []string
	set := func(name, value string) {
		if _, known := values[name]; !known {
			order = append(order, name)
		}
		values[name] = value
	}
	set("HOSTNAME", hostname(pod))
	set("HOME", "/")
	for _, from := range c.EnvFrom {
		data, err := m.sourceOf(pod, from)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(data)) {
			set(from.Prefix+name, data[name])
		}
	}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	for _, e := range c.Env {
		value := bootstrap.Expand(e.Value, lookup)
		if e.ValueFrom != nil {
			var known bool
			var err error
			if value, known, err = m.valueFrom(pod, c, e.ValueFrom); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", e.Name, err)
			}
			if !known {
				continue
			}
		}
		set(e.Name, value)
	}
	env := make([]string, 0, len(order))
	for _, name := range order {
		env = append(env, name+"="+values[name])
	}
	return env, nil
}

// expand replaces $(NAME) in a command line.
func expand(args, env []string) []string {
	values := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = bootstrap.Expand(a, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	}
	return out
}

func (m *Machine) sourceOf(pod *corev1.Pod, from corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		return m.configMap(pod, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
	case from.SecretRef != nil:
		return m.secret(pod, from.SecretRef.Name, from.SecretRef.Optional)
	}
	return nil, nil
}

// configMap is the text of a ConfigMap by key.
func (m *Machine) configMap(pod *corev1.Pod, name string, optional *bool) (map[string]string, error) {
	object := m.Objects.ConfigMap(pod.Namespace, name)
	if object == nil {
		if optional != nil && *optional {
			return nil, nil
		}
		return nil, fmt.Errorf("ConfigMap %s/%s does not exist", pod.Namespace, name)
	}
	data := maps.Clone(object.Data)
	if data == nil {
		data = map[string]string{}
	}
	for key, value := range object.BinaryData {
		data[key] = string(value)
	}
	return data, nil
}

// secret is the text of a Secret by key.
func (m *Machine) secret(pod *corev1.Pod, name string, optional *bool) (map[string]string, error) {
	object := m.Objects.Secret(pod.Namespace, name)
	if object == nil {
		if optional != nil && *optional {
			return nil, nil
		}
		return nil, fmt.Errorf("Secret %s/%s does not exist", pod.Namespace, name)
	}
	data := maps.Clone(object.StringData)
	if data == nil {
		data = map[string]string{}
	}
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data, nil
}

// valueFrom reads one value. known is false for an optional one that is missing.
func (m *Machine) valueFrom(pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource) (value string, known bool, err error) {
	var key string
	var optional *bool
	var data map[string]string
	switch {
	case from.FieldRef != nil:
		value, err = m.field(pod, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = resourceField(c, from.ResourceFieldRef)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		key, optional = from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional
		data, err = m.configMap(pod, from.ConfigMapKeyRef.Name, optional)
	case from.SecretKeyRef != nil:
		key, optional = from.SecretKeyRef.Key, from.SecretKeyRef.Optional
		data, err = m.secret(pod, from.SecretKeyRef.Name, optional)
	default:
		return "", false, fmt.Errorf("this kind of valueFrom is not supported by the local mesh")
	}
	if err != nil {
		return "", false, err
	}
	value, known = data[key]
	if !known && (optional == nil || !*optional) {
		return "", false, fmt.Errorf("key %s does not exist", key)
	}
	return value, known, nil
}

// field is the downward API (core/v1 ObjectFieldSelector).
func (m *Machine) field(pod *corev1.Pod, path string) (string, error) {
	if name, ok := strings.CutSuffix(path, "']"); ok {
		if label, ok := strings.CutPrefix(name, "metadata.labels['"); ok {
			return pod.Labels[label], nil
		}
		if annotation, ok := strings.CutPrefix(name, "metadata.annotations['"); ok {
			return pod.Annotations[annotation], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return m.NodeIP.String(), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		var ips []string
		for _, ip := range pod.Status.PodIPs {
			ips = append(ips, ip.IP)
		}
		return strings.Join(ips, ","), nil
	}
	return "", fmt.Errorf("fieldPath %s is not supported", path)
}

func lines(m map[string]string) string {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&text, "%s=%s\n", k, strconv.Quote(m[k]))
	}
	return text.String()
}

func resourceField(c *corev1.Container, from *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(from.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, known := list[corev1.ResourceName(name)]
	if !known {
		return "0", nil
	}
	divisor := from.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if divisor.MilliValue() <= 0 {
		return "", fmt.Errorf("divisor %s: must be positive", divisor.String())
	}
	return strconv.FormatInt((quantity.MilliValue()+divisor.MilliValue()-1)/divisor.MilliValue(), 10), nil
}
