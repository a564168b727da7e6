package informers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// TestDiscoveryDoesNotWait asks what is served an API server that has clients wait.
func TestDiscoveryDoesNotWait(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	client, err := discoverer(&rest.Config{Host: s.URL})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := client.ServerGroupsAndResourcesWithContext(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("%v; the time is over: %v", err, ctx.Err())
	}
}
