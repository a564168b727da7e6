package sample

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
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
	mux.HandleFunc("/echo", echo)
	return mux
}

// echo answers with what the query asks for: a status, after a delay, with a body
// of a size (that of the request by default).
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFetch))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	status, size, delay := http.StatusOK, len(body), time.Duration(0)
	for name, read := range map[string]func(text string) error{
		"status": func(text string) (err error) { status, err = bounded(text, 200, 599); return err },
		"size":   func(text string) (err error) { size, err = bounded(text, 0, maxFetch); return err },
		"delay":  func(text string) (err error) { delay, err = time.ParseDuration(text); return err },
	} {
		if text := r.URL.Query().Get(name); text != "" {
			if err := read(text); err != nil {
				http.Error(w, name+": "+err.Error(), http.StatusBadRequest)
				return
			}
		}
	}
	select {
	case <-time.After(min(delay, grace)):
	case <-r.Context().Done():
		return
	}
	w.WriteHeader(status)
	if size != len(body) {
		body = bytes.Repeat([]byte("."), size)
	}
	_, _ = w.Write(body) // the client went away
}

func bounded(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d: want %d to %d", n, least, most)
	}
	return n, err
}

// kubia tells which pod was hit.
func kubia() http.Handler {
	me := self()
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "You've hit %s %s\n", me.Version, me.Pod)
	})
}
