package discovery

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// sentAgain asks the kernel about a connection: whether something that was sent
// is not acknowledged, and how many segments were sent again so far. It is not
// ok when the connection is no TCP connection.
func sentAgain(c net.Conn) (unacknowledged bool, again uint32, ok bool) {
	tcp, is := c.(syscall.Conn)
	if !is {
		return false, 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false, 0, false
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return false, 0, false
	}
	return info.Unacked > 0 || info.Notsent_bytes > 0, info.Total_retrans, true
}
