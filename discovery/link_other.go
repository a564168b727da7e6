//go:build !linux

package discovery

import "net"

// sentAgain cannot be told here.
func sentAgain(net.Conn) (unacknowledged bool, again uint32, ok bool) { return false, 0, false }
