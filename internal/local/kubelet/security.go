//go:build linux

package kubelet

import (
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/local/container"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// nobody runs containers that name no user: unlike in a cluster, they see this
// machine's files, so they are not given root's rights over them.
const nobody = 65534

// capabilities are the names of the Kubernetes API.
var capabilities = map[string]uintptr{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "FOWNER": unix.CAP_FOWNER, "FSETID": unix.CAP_FSETID,
	"KILL": unix.CAP_KILL, "NET_ADMIN": unix.CAP_NET_ADMIN, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"NET_RAW": unix.CAP_NET_RAW, "SETGID": unix.CAP_SETGID, "SETUID": unix.CAP_SETUID, "SETPCAP": unix.CAP_SETPCAP,
	"SYS_CHROOT": unix.CAP_SYS_CHROOT, "SYS_PTRACE": unix.CAP_SYS_PTRACE,
}

// applySecurity reads the user and the privileges. Capabilities are those added:
// of what container engines grant by default nothing is needed here.
func applySecurity(spec *container.Spec, pod *corev1.PodSecurityContext, c *corev1.SecurityContext) {
	spec.UID, spec.GID = nobody, nobody
	user := func(uid, gid *int64) {
		if uid != nil {
			spec.UID, spec.GID = int(*uid), int(*uid)
		}
		if gid != nil {
			spec.GID = int(*gid)
		}
	}
	if pod != nil {
		user(pod.RunAsUser, pod.RunAsGroup)
	}
	if c == nil {
		return
	}
	user(c.RunAsUser, c.RunAsGroup)
	if c.Capabilities != nil {
		for _, name := range c.Capabilities.Add {
			if n, known := capabilities[strings.TrimPrefix(string(name), "CAP_")]; known && !slices.Contains(spec.Capabilities, n) {
				spec.Capabilities = append(spec.Capabilities, n)
			}
		}
	}
	spec.NoNewPrivileges = c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation
}
