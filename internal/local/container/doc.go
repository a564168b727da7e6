// Package container starts a program as if it ran in a container: in a pod's
// network namespace, with its own view of mounts, host name and resolver, as the
// user and with the capabilities that its manifest asks for.
//
// The program itself is the one installed on this machine. Between the fork and
// the program stands a short step, the hidden command "fairway container": it
// changes what only a process can change for itself and then becomes the program.
//
// It must never leave a mount, a file or a process behind: mounts live in a
// namespace of the process, and the kernel kills the process with its starter.
package container
