//go:build unix

package reserve

import "syscall"

// limit raises the soft limit of open files to the hard one, and returns it; 0
// when it cannot be told.
func limit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	if l.Cur < l.Max {
		raised := l
		raised.Cur = l.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			l = raised
		}
	}
	const enough = 1 << 20 // as good as no limit
	return int(min(l.Cur, enough))
}
