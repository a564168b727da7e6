// Package freeport finds ports of loopback for tests that start servers at them later.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// first and count are the ports that are given: below those that the kernel chooses from,
// since a connection of somebody else might take one of these before it is listened on, and
// above those of Envoys.
const first, count = 16000, 14000

// given are the ports that this process has given away.
var given sync.Map

// TCP is a port of 127.0.0.1 that nobody listens on and that no other test of the process gets.
func TCP(t testing.TB) uint32 {
	t.Helper()
	for range 100 {
		port := uint32(first + rand.IntN(count)) //nolint:gosec // of a test, and below 1<<16
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := given.LoadOrStore(port, true); !taken {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
