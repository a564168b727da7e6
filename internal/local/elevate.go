//go:build linux

package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageVariable tells a program that Elevate started how far it has come.
const stageVariable = "FAIRWAY_LOCAL_STAGE"

// Elevate sees to it that this program may make network namespaces. With enough
// privilege (root) it does nothing. Otherwise it runs the same program again, with
// the same arguments, as root of a user namespace of its own, waits for it, and
// returns done and the exit code, with which the caller ends. The error is one
// sentence that says what this machine lacks.
//
// It is to be called first, before the program starts anything.
func Elevate() (done bool, code int, err error) {
	switch os.Getenv(stageVariable) {
	case "unmapped":
		return false, 0, becomeRoot()
	case "mapped":
		os.Unsetenv(stageVariable)
		return false, 0, nil
	}
	if privileged() {
		return false, 0, nil
	}
	code, err = runMapped()
	return true, code, err
}

// privileged says whether this process may make network namespaces and devices.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return os.Geteuid() == 0 && data[0].Effective&needed == needed
}

// becomeRoot runs in the new user namespace. Once the ids are mapped, running the
// program again gives user 0 all privileges there: those that the process was
// born with went when it was started with an id that had no meaning yet.
func becomeRoot() error {
	ready := os.NewFile(3, "mapped")
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for the user namespace: %w", err)
	}
	ready.Close()
	os.Setenv(stageVariable, "mapped")
	return fmt.Errorf("running in the user namespace: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// runMapped starts the program again in a user namespace with a range of ids:
// proxies are told apart from applications by their user, so one id is not enough.
func runMapped() (int, error) {
	remedy := func(err error) error {
		return fmt.Errorf("the local mesh needs root, or a user namespace with a range of ids: %w (Debian: apt-get install uidmap, and lines such as %s:100000:65536 in /etc/subuid and /etc/subgid)", err, userName())
	}
	uids, err := subordinate("/etc/subuid")
	if err != nil {
		return 1, remedy(err)
	}
	gids, err := subordinate("/etc/subgid")
	if err != nil {
		return 1, remedy(err)
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			return 1, remedy(err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 1, fmt.Errorf("making a pipe: %w", err)
	}
	runtime.LockOSThread() // the child ends with the thread that started it
	defer runtime.UnlockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), stageVariable+"=unmapped")
	child.ExtraFiles = []*os.File{r}
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, Pdeathsig: unix.SIGKILL}
	if err := child.Start(); err != nil {
		return 1, remedy(fmt.Errorf("making a user namespace: %w", err))
	}
	r.Close()
	pid := strconv.Itoa(child.Process.Pid)
	for _, m := range []struct {
		program string
		own     int
		rest    idRange
	}{{"newuidmap", os.Getuid(), uids}, {"newgidmap", os.Getgid(), gids}} {
		args := []string{pid, "0", strconv.Itoa(m.own), "1", "1", strconv.Itoa(m.rest.first), strconv.Itoa(m.rest.count)}
		if out, err := exec.Command(m.program, args...).CombinedOutput(); err != nil {
			_ = child.Process.Kill()
			_ = child.Wait() // its failure is not the point
			return 1, remedy(fmt.Errorf("%s: %w: %s", m.program, err, strings.TrimSpace(string(out))))
		}
	}
	_, err = w.Write([]byte{1})
	w.Close()
	if err != nil {
		return 1, fmt.Errorf("starting in the user namespace: %w", err)
	}
	return await(child)
}

// await hands signals on and returns the child's exit code.
func await(child *exec.Cmd) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != unix.SIGINT { // the terminal sends that to both
				_ = child.Process.Signal(s)
			}
		case err := <-ended:
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				return max(1, failed.ExitCode()), nil
			}
			return 0, err
		}
	}
}

// idRange is a range of ids that a user may map.
type idRange struct{ first, count int }

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// subordinate reads the user's range from /etc/subuid or /etc/subgid (subuid(5)).
func subordinate(path string) (idRange, error) {
	file, err := os.Open(path)
	if err != nil {
		return idRange{}, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != userName() && fields[0] != strconv.Itoa(os.Getuid()) {
			continue
		}
		first, err1 := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil && count >= 65535 {
			return idRange{first, count}, nil
		}
	}
	return idRange{}, fmt.Errorf("%s has no range of 65536 ids for %s", path, userName())
}

// outerUID is the user who started this program, also in a user namespace.
func outerUID() int {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err == nil {
		var inside, outside, count int
		if n, _ := fmt.Sscan(string(text), &inside, &outside, &count); n == 3 && count == 1 {
			return outside
		}
	}
	return os.Getuid()
}
