//go:build !linux

package redirect

import "errors"

// errNotLinux is the answer of everything that needs the Linux kernel. The rest
// of the package works anywhere, since "fairway inject" does.
var errNotLinux = errors.New("traffic capture works on Linux only")

// Apply fails: it needs Linux.
func Apply(Config) error { return errNotLinux }

// Remove fails: it needs Linux.
func Remove() error { return errNotLinux }

// Text is empty: the rules are known on Linux only.
func (c Config) Text() string { return "" }
