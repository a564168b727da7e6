package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// opening is how far the authority is. A control plane starts without the API
// server that keeps its roots: its ports are open, and who connects to one that
// needs a certificate waits.
type opening struct {
	done  chan struct{} // closed when the authority is open and server is set
	since time.Time

	mu      sync.Mutex
	problem error            // why it is not open yet
	server  *identity.Server // the certificate of our own ports
}

func newOpening() opening { return opening{done: make(chan struct{}), since: time.Now()} }

const (
	// openTime is how long the API server may take for the Secrets of the
	// authority, so that one that hangs is asked anew.
	openTime = 5 * time.Second
	// openAgain is how soon it is asked again.
	openAgain = 500 * time.Millisecond
	// certificateWait is how long a client may wait in its handshake for the
	// authority to open. It connects again after that.
	certificateWait = 8 * time.Second
)

// open opens the authority and issues the certificate of our own ports.
func (ids *identities) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if err := ids.authority.Start(ctx); err != nil {
		return err
	}
	server, err := ids.authority.ServerCertificate(serviceNames(ids.namespace)...)
	if err != nil {
		return fmt.Errorf("issuing the certificate of the control plane's ports: %w", err)
	}
	ids.opening.mu.Lock()
	ids.opening.server, ids.opening.problem = server, nil
	ids.opening.mu.Unlock()
	close(ids.opening.done)
	return nil
}

// openAtLast opens the authority, and tries until it succeeds; false when the
// context ends before. What is wrong is told once.
func (ids *identities) openAtLast(ctx context.Context) bool {
	told := false
	for !ids.isOpen() {
		err := ids.open(ctx)
		if err == nil {
			break
		}
		ids.opening.mu.Lock()
		ids.opening.problem = err
		ids.opening.mu.Unlock()
		if !told && ctx.Err() == nil {
			told = true
			ids.log.Error("the certificate authority cannot be opened; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(openAgain):
		}
	}
	return true
}

// isOpen tells whether certificates can be issued.
func (ids *identities) isOpen() bool {
	select {
	case <-ids.opening.done:
		return true
	default:
		return false
	}
}

// awaitOpen waits until they can; false when the context ends before.
func (ids *identities) awaitOpen(ctx context.Context) bool {
	select {
	case <-ids.opening.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// missing says why the authority is not open; "" when it is.
func (ids *identities) missing() string {
	if ids.isOpen() {
		return ""
	}
	ids.opening.mu.Lock()
	defer ids.opening.mu.Unlock()
	if ids.opening.problem != nil {
		return ids.opening.problem.Error()
	}
	return "its Secrets are being read"
}

// certificate is that of our own ports, for tls.Config.
func (ids *identities) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	late := time.NewTimer(certificateWait)
	defer late.Stop()
	select {
	case <-ids.opening.done:
	case <-late.C:
		return nil, errors.New("the certificate authority is not open yet")
	case <-hello.Context().Done():
		return nil, hello.Context().Err()
	}
	return ids.opening.server.GetCertificate(hello)
}
