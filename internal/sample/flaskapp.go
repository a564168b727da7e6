package sample

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// maxFetch bounds what /fetch passes on, in bytes.
const maxFetch = 1 << 20

// flaskapp shows its environment and fetches addresses.
func flaskapp() http.Handler {
	client := &http.Client{Timeout: 10 * time.Second}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) {
		value, ok := os.LookupEnv(r.PathValue("name"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, value)
	})
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.FormValue("url"), nil)
		if err != nil {
			http.Error(w, "url: "+err.Error(), http.StatusBadRequest)
			return
		}
		passOn(req, r)
		resp, err := client.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, io.LimitReader(resp.Body, maxFetch))
	})
	return mux
}

// kubia tells which pod was hit.
func kubia() http.Handler {
	me := self()
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "You've hit %s %s\n", me.Version, me.Pod)
	})
}
