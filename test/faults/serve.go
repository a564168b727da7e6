package faults

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := parse(r.Method, r.URL)
	p.mu.Lock()
	p.counts[request{verb: what.verb, resource: what.resource}]++
	p.mu.Unlock()
	f, err := p.unhung(r.Context(), what)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Missing != "" && strings.HasPrefix(r.URL.Path, "/apis/"+f.Missing):
		refuse(w, http.StatusNotFound, 0, "")
		return
	case f.Missing != "" && r.URL.Path == "/apis":
		p.withoutGroup(w, r, f.Missing)
		return
	case f.Status != 0:
		if f.Status == http.StatusGone && inconsistent(r.URL.Query().Get("continue")) {
			break // from here on nothing is too old
		}
		refuse(w, f.Status, f.RetryAfter, later(r.URL.Query().Get("continue")))
		return
	case f.CutAfter < 0:
		panic(http.ErrAbortHandler)
	}
	if (f.Half || f.Body != nil) && what.verb == List {
		accept := "application/json" // the form in which it can be edited
		if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
			accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
		}
		r.Header.Set("Accept", accept)
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	a := &answer{ResponseWriter: w, proxy: p, what: what, ctx: ctx, end: end, streams: what.verb == Watch, listing: r.URL.Query().Get("sendInitialEvents") == "true"}
	if what.verb == Watch {
		go a.endWhenAsked()
	}
	p.pass(a, r.WithContext(ctx))
}

// pass asks the API server. An answer that is ended by a fault ends in good
// order unless the fault says otherwise.
func (p *Proxy) pass(a *answer, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if !a.ended.Load() {
				panic(v)
			}
		}
	}()
	p.next.ServeHTTP(a, r)
	a.finish()
}

// place is where a list goes on, as API servers write it for themselves.
type place struct {
	Version string `json:"v"`
	At      int64  `json:"rv"` // -1: as it is then
	Start   string `json:"start"`
}

func placeOf(token string) (p place, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	return p, err == nil && json.Unmarshal(text, &p) == nil && p.Version != ""
}

func inconsistent(token string) bool {
	p, ok := placeOf(token)
	return ok && p.At < 0
}

// later is what an API server names in its answer 410 to a request for a further page:
// where the list goes on among the objects as they are now.
func later(token string) string {
	p, ok := placeOf(token)
	if !ok {
		return ""
	}
	p.At = -1
	text, err := json.Marshal(p)
	if err != nil { // a plain struct
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// refuse answers with a Status of the API.
func refuse(w http.ResponseWriter, code, retryAfter int, more string) {
	reason := map[int]string{403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests", 401: "Unauthorized", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}[code]
	w.Header().Set("Content-Type", "application/json")
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":%q},"status":"Failure","message":"a fault that a test made","reason":%q,"code":%d}`, more, reason, code)
}

// withoutGroup answers what groups there are, but one.
func (p *Proxy) withoutGroup(w http.ResponseWriter, r *http.Request, group string) {
	r.Header.Set("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
	r.Header.Del("If-None-Match")
	kept := &kept{header: http.Header{}, code: http.StatusOK}
	p.next.ServeHTTP(kept, r)
	w.Header().Set("Content-Type", kept.header.Get("Content-Type"))
	w.WriteHeader(kept.code)
	_, _ = w.Write(edit(kept.body.Bytes(), func(_ int, o map[string]any) bool {
		name, _ := o["name"].(string)
		if m, ok := o["metadata"].(map[string]any); ok {
			name, _ = m["name"].(string)
		}
		return name != group
	}))
}

// edit keeps those members of a list in JSON that keep says. What is not a list
// stays as it is.
func edit(body []byte, keep func(i int, o map[string]any) bool) []byte {
	var list map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&list) != nil {
		return body
	}
	for _, field := range []string{"items", "groups"} {
		members, ok := list[field].([]any)
		if !ok {
			continue
		}
		left := []any{}
		for i, m := range members {
			if o, ok := m.(map[string]any); !ok || keep(i, o) {
				left = append(left, m)
			}
		}
		list[field] = left
	}
	out, err := json.Marshal(list)
	if err != nil {
		return body
	}
	return out
}

// kept is an answer that is held until it is whole.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(code int)        { k.code = code }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }
