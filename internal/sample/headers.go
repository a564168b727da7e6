package sample

import "net/http"

// passedOn are the headers that an application hands on to whom it calls: who
// the user is, and what tracing needs.
var passedOn = []string{
	"End-User", "Cookie",
	"X-Request-Id", "Traceparent", "Tracestate",
	"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "B3",
}

func passOn(to, from *http.Request) {
	for _, name := range passedOn {
		for _, value := range from.Header.Values(name) {
			to.Header.Add(name, value)
		}
	}
}
