package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// markdown writes the results as docs/performance.md has them: changes, memory,
// and real Envoys.
func (r *report) markdown(w io.Writer) {
	s := r.Size
	fmt.Fprintf(w, "### %s: %s services × %d pods, %s sidecars and %d gateways, %d namespaces\n\n", s.Name, number(float64(s.Services), 0), s.Pods, number(float64(s.Sidecars), 0), s.Gateways, s.Namespaces)
	fmt.Fprintf(w, "Source %s, %s; load average of the machine %s.\n\n", r.Source, r.Mode, r.Load)
	fmt.Fprintln(w, "| scenario | changes | p50 ms | p99 ms | last proxy ms | missed | messages | kB in all | useless | B per proxy | CPU ms | allocations | RSS MB | × floor |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, x := range r.Results {
		if x.ofEnvoy() || x.onlyMemory() {
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %d | %s | %s | %d | %s | %s | %s | %d | %s |\n", x.Scenario, x.Changes, number(x.P50, 1), number(x.P99, 1), number(x.Last, 1), x.Missed,
			number(float64(x.Messages), 0), number(float64(x.Bytes)/1000, 0), x.Useless, number(x.PerProxy, 0), number(x.CPU, 1), number(x.Allocs, 0), x.RSS>>20, number(x.FloorRatio, 1))
	}
	fmt.Fprint(w, "\n| live heap | MB | kB per proxy |\n|---|--:|--:|\n")
	for _, x := range r.Results {
		if x.Heap > 0 && !x.ofEnvoy() {
			fmt.Fprintf(w, "| %s | %s | %s |\n", x.Scenario, number(float64(x.Heap)/1e6, 1), number(float64(x.HeapPerProxy)/1e3, 1))
		}
	}
	fmt.Fprint(w, "\n| inside a real Envoy | until in force ms | CPU ms | heap MB | RSS MB |\n|---|--:|--:|--:|--:|\n")
	for _, x := range r.Results {
		if x.ofEnvoy() {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %d |\n", strings.TrimPrefix(x.Scenario, "Envoy, "), number(x.Last, 1), number(x.CPU, 1), number(float64(x.Heap)/1e6, 1), x.RSS>>20)
		}
	}
	fmt.Fprintln(w)
}

func (r *result) ofEnvoy() bool { return strings.HasPrefix(r.Scenario, "Envoy, ") }

// onlyMemory tells whether nothing but memory was measured.
func (r *result) onlyMemory() bool { return r.Heap > 0 && r.CPU == 0 && r.Messages == 0 }

// number is a value with commas between thousands; empty for none.
func number(v float64, digits int) string {
	if v == 0 {
		return ""
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}
