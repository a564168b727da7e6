package faults

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Verb is what a request asks for.
type Verb string

// The verbs, as the API server names them. A list that the API server is asked
// to stream (sendInitialEvents) is a watch.
const (
	Any   Verb = ""
	List  Verb = "list"
	Watch Verb = "watch"
	Get   Verb = "get"
	Write Verb = "write" // whatever changes objects
)

// Fault is what happens to some requests. Of the faults that are set the first
// that a request matches befalls it; the harms of one fault add up. Running
// watches are asked anew at each event, so that a fault that is set or lifted
// takes hold of them as well.
type Fault struct {
	// Verb and Resource (the plural, "pods") choose requests; empty: all.
	Verb     Verb
	Resource string
	// Path chooses requests by the beginning of their path, and Query by a part of
	// what stands behind the question mark; empty: all.
	Path, Query string

	// Delay is waited before the request is passed on.
	Delay time.Duration
	// Status is answered in place of what was asked for: 403, 404, 410, 429, 500.
	// RetryAfter goes with it, in seconds; 0: no such header.
	Status, RetryAfter int
	// Hang answers nothing, and holds what a running watch would get, until the
	// fault is lifted or the client gives up.
	Hang bool
	// EndAfter ends a watch in good order after so long.
	EndAfter time.Duration
	// CutAfter breaks an answer off after so many bytes: the stream is reset. -1:
	// before the first one.
	CutAfter int
	// Truncate ends an answer in good order after so many bytes, as if it were
	// whole.
	Truncate int
	// BytesPerSecond is how fast an answer comes; 0: as it does.
	BytesPerSecond int
	// Half leaves out every other object of a list, however it is asked for.
	Half bool
	// LoseEvents leaves out events of watches that are about objects, and
	// LoseBookmarks the others. What a watch sends first, when it stands for a
	// list, is not lost.
	LoseEvents, LoseBookmarks bool
	// Expired ends watches with an ERROR event of code 410.
	Expired bool
	// Events says what comes in place of an event of a watch. What a watch sends
	// first, when it stands for a list, comes as it is.
	Events func(Event) []Event
	// Body says what comes in place of the body of an answer 200 that is no watch,
	// and Encoding how that is said to be encoded ("gzip"). Lists come in JSON then.
	Body     func([]byte) []byte
	Encoding string
	// Missing leaves a group of the API out of what is served, as an API server
	// does that is starting, and answers 404 to what is asked of it.
	Missing string
}

// request is what a fault chooses by.
type request struct {
	verb                  Verb
	resource, path, query string
}

// parse reads the path of a request for a resource, with or without a
// namespace, of the core group or another.
func parse(method string, u *url.URL) request {
	r := request{path: u.Path, query: u.RawQuery, verb: Get}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return r
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	r.resource = parts[0]
	switch {
	case method != http.MethodGet && method != http.MethodHead:
		r.verb = Write
	case u.Query().Get("watch") != "" && u.Query().Get("watch") != "false" && u.Query().Get("watch") != "0":
		r.verb = Watch
	case len(parts) == 1:
		r.verb = List
	}
	return r
}

func (f Fault) befalls(r request) bool {
	return (f.Verb == Any || f.Verb == r.verb) && (f.Resource == "" || f.Resource == r.resource) && strings.HasPrefix(r.path, f.Path) && strings.Contains(r.query, f.Query)
}
