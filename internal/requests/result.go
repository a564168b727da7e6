package requests

import (
	"context"
	"time"
)

// Result is what came of one request.
type Result struct {
	Suite   string   `json:"suite"`
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Wrong   []string `json:"wrong,omitempty"` // what is otherwise than wanted; empty: it passes
	Outcome Outcome  `json:"outcome"`
	took    time.Duration
}

// Run asks for all requests of a suite, in their order. A request that cannot be asked, such
// as one of a caller that is not there, fails.
func (s *Suite) Run(ctx context.Context, m *Mesh) []Result {
	out := make([]Result, 0, len(s.Requests))
	for i := range s.Requests {
		r := &s.Requests[i]
		begun := time.Now()
		o, err := m.Ask(ctx, s, r)
		result := Result{Suite: s.Name, Name: r.Name, File: s.file, Line: r.line, Outcome: o}
		if err != nil {
			result.Wrong = []string{err.Error()}
		} else {
			result.Wrong = r.Want.Judge(s.Namespace, &o)
		}
		result.took = time.Since(begun)
		out = append(out, result)
	}
	return out
}
