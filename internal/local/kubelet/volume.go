//go:build linux

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/container"
	corev1 "k8s.io/api/core/v1"
)

// volumes makes the pod's volumes as directories of this machine, by name.
func (m *Machine) volumes(pod *corev1.Pod, dir string) (map[string]string, error) {
	made := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.HostPath != nil {
			made[v.Name] = v.HostPath.Path
			continue
		}
		root := filepath.Join(dir, "volumes", v.Name)
		if err := os.MkdirAll(root, 0o777); err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		if err := os.Chmod(root, 0o777); err != nil { // whatever the umask is
			return nil, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		if err := m.fill(pod, v, root); err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		made[v.Name] = root
	}
	return made, nil
}

func (m *Machine) fill(pod *corev1.Pod, v corev1.Volume, root string) error {
	switch {
	case v.EmptyDir != nil:
		return nil
	case v.ConfigMap != nil:
		data, err := m.configMap(pod, v.ConfigMap.Name, v.ConfigMap.Optional)
		return firstError(err, func() error { return project(root, data, v.ConfigMap.Items) })
	case v.Secret != nil:
		data, err := m.secret(pod, v.Secret.SecretName, v.Secret.Optional)
		return firstError(err, func() error { return project(root, data, v.Secret.Items) })
	case v.DownwardAPI != nil:
		return m.downward(pod, root, v.DownwardAPI.Items)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if err := m.source(pod, root, s); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("this kind of volume is not supported by the local mesh: use emptyDir, configMap, secret, downwardAPI, projected or hostPath")
}

func firstError(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func (m *Machine) source(pod *corev1.Pod, root string, s corev1.VolumeProjection) error {
	switch {
	case s.ConfigMap != nil:
		data, err := m.configMap(pod, s.ConfigMap.Name, s.ConfigMap.Optional)
		return firstError(err, func() error { return project(root, data, s.ConfigMap.Items) })
	case s.Secret != nil:
		data, err := m.secret(pod, s.Secret.Name, s.Secret.Optional)
		return firstError(err, func() error { return project(root, data, s.Secret.Items) })
	case s.DownwardAPI != nil:
		return m.downward(pod, root, s.DownwardAPI.Items)
	case s.ServiceAccountToken != nil:
		lifetime := time.Hour
		if s.ServiceAccountToken.ExpirationSeconds != nil {
			lifetime = time.Duration(*s.ServiceAccountToken.ExpirationSeconds) * time.Second
		}
		if m.Objects.Token == nil {
			return fmt.Errorf("the local mesh issues no service account tokens")
		}
		token, err := m.Objects.Token(pod, s.ServiceAccountToken.Audience, lifetime)
		return firstError(err, func() error { return write(root, s.ServiceAccountToken.Path, token) })
	}
	return fmt.Errorf("this kind of projected source is not supported by the local mesh")
}

func (m *Machine) downward(pod *corev1.Pod, root string, items []corev1.DownwardAPIVolumeFile) error {
	for _, item := range items {
		if item.FieldRef == nil {
			return fmt.Errorf("%s: the local mesh supports fieldRef only", item.Path)
		}
		value, err := m.field(pod, item.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		if err := write(root, item.Path, value); err != nil {
			return err
		}
	}
	return nil
}

// project writes the items of data, or all of it.
func project(root string, data map[string]string, items []corev1.KeyToPath) error {
	if len(items) == 0 {
		for key, value := range data {
			if err := write(root, key, value); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range items {
		value, known := data[item.Key]
		if !known {
			return fmt.Errorf("key %s does not exist", item.Key)
		}
		if err := write(root, item.Path, value); err != nil {
			return err
		}
	}
	return nil
}

func write(root, path, text string) error {
	if !filepath.IsLocal(path) {
		return fmt.Errorf("path %q: must stay within the volume", path)
	}
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// mounts are the volumes as the container sees them.
func mounts(c *corev1.Container, volumes map[string]string) ([]container.Mount, error) {
	var out []container.Mount
	for _, v := range c.VolumeMounts {
		root, known := volumes[v.Name]
		if !known {
			return nil, fmt.Errorf("container %s mounts volume %s, which the pod does not have", c.Name, v.Name)
		}
		if v.SubPath != "" {
			if !filepath.IsLocal(v.SubPath) {
				return nil, fmt.Errorf("container %s: subPath %q must stay within the volume", c.Name, v.SubPath)
			}
			root = filepath.Join(root, v.SubPath)
		}
		out = append(out, container.Mount{Source: root, Target: v.MountPath, ReadOnly: v.ReadOnly})
	}
	return out, nil
}
