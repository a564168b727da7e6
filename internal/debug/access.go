package debug

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Authorize says whether the bearer of a token may read a path. ErrUnknown is
// its error for a token that proves nothing, ErrForbidden for somebody who may
// not; any other means that it cannot be told now.
type Authorize func(ctx context.Context, token, path string) error

// What Authorize returns for good.
var (
	ErrUnknown   = errors.New("the token is not valid")
	ErrForbidden = errors.New("not allowed to get this non-resource URL: ask for the ClusterRole that the chart names NAME-debug")
)

// guard lets through who reaches the port from the very machine or Pod, which
// takes the right to forward ports to it or to run things there, and whom
// authorize allows. Without authorize there is nobody else.
func guard(next http.Handler, authorize Authorize) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r) {
			next.ServeHTTP(w, r)
			return
		}
		token, bears := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case authorize == nil:
			http.Error(w, "served on this machine only: without Kubernetes nobody can prove who they are", http.StatusForbidden)
			return
		case !bears || token == "":
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a Kubernetes bearer token is needed (kubectl create token), or kubectl port-forward", http.StatusUnauthorized)
			return
		}
		err := authorize(r.Context(), token, r.URL.Path)
		switch {
		case errors.Is(err, ErrUnknown):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case errors.Is(err, ErrForbidden):
			http.Error(w, err.Error(), http.StatusForbidden)
		case err != nil:
			http.Error(w, "the API server does not say now who may read this", http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// local says whether both ends of the connection are on this machine, or in
// this Pod.
func local(r *http.Request) bool {
	here, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	to, err := netip.ParseAddrPort(here.String())
	if err != nil {
		return false
	}
	return from.Addr().Unmap().IsLoopback() || from.Addr().Unmap() == to.Addr().Unmap()
}
