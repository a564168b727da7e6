//go:build linux

package container

// CommandName is the hidden command of the fairway binary that becomes the program.
const CommandName = "container"

// Spec says what to run and how. It travels as JSON.
type Spec struct {
	// Args is the command line. A name without a slash is looked up in Programs,
	// then in PATH of Env.
	Args []string
	// Env is the whole environment, NAME=VALUE.
	Env []string
	// Dir is the working directory, "/" if empty.
	Dir string
	// UID and GID are the user and the group.
	UID, GID int
	// Capabilities are the numbers of the capabilities that user 0 keeps; every
	// other user has none.
	Capabilities []uintptr
	// NoNewPrivileges forbids programs with a setuid bit to raise privileges.
	NoNewPrivileges bool
	// Hostname is the name of the machine that the program sees.
	Hostname string
	// Files are put in place of those of the machine: a path below /etc, and the text.
	Files map[string]string
	// Programs are executables offered to the program in the first directory of
	// its PATH: a name, and a path on this machine. The user needs no access to
	// the directories above that path.
	Programs map[string]string
	// Mounts are directories and files of this machine that appear elsewhere.
	Mounts []Mount
}

// Mount makes Source, a directory or a file, appear at the path Target.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}
