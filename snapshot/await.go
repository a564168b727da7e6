package snapshot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/mesh"
)

const (
	// earlyTime is how long after the start all Secrets are followed that the
	// world names: until the proxies are back that need them.
	earlyTime = 2 * time.Minute
	// awaitTime is how long a proxy may wait for the Secrets that it needs, or a
	// tenth less. Then it has to connect again, and keeps what it holds.
	awaitTime = 30 * time.Second
)

// await waits until all Secrets have been looked for that the layer of a scope
// names. A gateway that comes back would else lose its listeners until its
// certificates are read.
func (e *Engine) await(ctx context.Context, scope mesh.Scope) error {
	late := time.NewTimer(awaitTime - rand.N(awaitTime/10))
	defer late.Stop()
	for {
		e.mu.Lock()
		passed, unread := e.passed, e.unreadOf(scope)
		e.mu.Unlock()
		if !unread {
			return nil
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the Secrets that the proxy needs: %w", ctx.Err())
		case <-late.C:
			return status.Error(codes.Unavailable, "Secrets that this proxy needs cannot be read yet; keep what you hold and connect again")
		}
	}
}

// unreadOf tells whether the layer of a scope is not whole yet. The caller holds
// e.mu.
func (e *Engine) unreadOf(scope mesh.Scope) bool {
	if scope.Role == mesh.RoleRouter {
		p := e.routers.places[scope]
		return p != nil && p.unread
	}
	p := e.scopes.places[scope]
	return p != nil && p.unread
}

// unread tells whether a Secret that is asked for has not been looked for yet.
// The caller holds e.work.
func (e *Engine) unread(s *namedSecrets) bool {
	for r := range s.made {
		if _, asked := e.asked[r]; asked && !e.world.SecretRead(r.Namespace, r.Name) {
			return true
		}
	}
	return false
}

// tellRead notes in a new place whether its Secrets have been looked for. The
// caller holds e.work.
func (e *Engine) tellRead(unread *bool, s *namedSecrets) {
	is := e.unread(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	*unread = is
	e.wake()
}

// wake has those look again who wait for something to be published. The caller
// holds e.mu.
func (e *Engine) wake() {
	close(e.passed)
	e.passed = make(chan struct{})
}
