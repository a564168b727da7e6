package informers

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// beingWritten tells whether anybody has the file open for writing: the kernel
// gives a read lease only when nobody has (fcntl(2), F_SETLEASE).
func beingWritten(f *os.File, info os.FileInfo) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		return err != nil
	}
	if errors.Is(err, unix.EAGAIN) {
		return true
	}
	return !quiet(info) // not the owner of the file, or a file system without leases
}
