//go:build linux

package container

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// SetupFailed is the exit code when the program was not even started.
const SetupFailed = 125

// NewCommand is "fairway container", which only Start calls.
func NewCommand() *cobra.Command {
	return &cobra.Command{
		Use:    CommandName,
		Short:  "Become a container's program (used by the local mesh)",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			// Returns only if it failed. What is wrong goes to the container's log.
			err := become()
			fmt.Fprintf(cmd.ErrOrStderr(), "fairway: starting the container: %v\n", err)
			os.Exit(SetupFailed)
		},
	}
}

// become reads the spec and turns this process into the program.
func become() error {
	// Mounts, capabilities and the death signal belong to the thread.
	runtime.LockOSThread()
	var spec Spec
	input := os.NewFile(3, "spec")
	if input == nil {
		return fmt.Errorf("no spec on descriptor 3: only the local mesh runs this command")
	}
	if err := json.NewDecoder(input).Decode(&spec); err != nil {
		return fmt.Errorf("reading the spec: %w", err)
	}
	input.Close()
	if len(spec.Args) == 0 {
		return fmt.Errorf("no command: the container names neither command nor image that is known here")
	}
	parent := os.Getppid()
	if err := spec.mount(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if spec.Dir == "" {
		spec.Dir = "/"
	}
	if err := os.Chdir(spec.Dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	env := spec.environment()
	path, err := lookPath(spec.Args[0], env)
	if err != nil {
		return err
	}
	if err := spec.dropPrivileges(); err != nil {
		return err
	}
	// Changing the user has cleared it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("asking to end with the local mesh: %w", err)
	}
	if os.Getppid() != parent {
		return fmt.Errorf("the local mesh has ended")
	}
	return fmt.Errorf("running %s: %w", path, unix.Exec(path, spec.Args, env))
}

// environment is Env with the directory of Programs first in PATH.
func (s Spec) environment() []string {
	const standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	path := "PATH=" + programDir + ":" + standard
	env := slices.DeleteFunc(slices.Clone(s.Env), func(v string) bool {
		value, found := strings.CutPrefix(v, "PATH=")
		if found {
			path = "PATH=" + programDir + ":" + value
		}
		return found
	})
	return append(env, path)
}

func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, v := range env {
		if path, found := strings.CutPrefix(v, "PATH="); found {
			for _, dir := range filepath.SplitList(path) {
				if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					return found, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s: no such program on this machine", name)
}

// dropPrivileges gives up what the manifest does not ask for.
func (s Spec) dropPrivileges() error {
	last := 0
	for ; ; last++ { // the kernel knows capabilities up to some number
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(last), 0, 0, 0); err != nil {
			break
		}
	}
	for c := range uintptr(last) {
		if s.UID == 0 && slices.Contains(s.Capabilities, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := unix.Setgroups([]int{s.GID}); err != nil {
		return fmt.Errorf("setting groups: %w", err)
	}
	if err := unix.Setresgid(s.GID, s.GID, s.GID); err != nil {
		return fmt.Errorf("becoming group %d: %w", s.GID, err)
	}
	if err := unix.Setresuid(s.UID, s.UID, s.UID); err != nil {
		return fmt.Errorf("becoming user %d: %w", s.UID, err)
	}
	if s.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forbidding new privileges: %w", err)
		}
	}
	return nil
}
