package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// result is what one scenario measured. Durations are in milliseconds, sizes
// in bytes.
type result struct {
	Scenario     string  `json:"scenario"`
	Changes      int     `json:"changes"`
	P50          float64 `json:"p50"`  // over proxies and changes
	P99          float64 `json:"p99"`  // likewise
	Last         float64 `json:"last"` // until the last proxy had it: the median over changes
	Worst        float64 `json:"worst"`
	Missed       int     `json:"missed"` // proxies that did not get what they should in time
	Messages     int     `json:"messages"`
	Bytes        int     `json:"bytes"`
	Useless      int     `json:"useless"`
	UselessBytes int     `json:"uselessBytes"`
	Sample       string  `json:"uselessSample,omitempty"` // of a message that changed nothing
	Concerned    int     `json:"concerned"`
	PerProxy     float64 `json:"bytesPerProxy"` // the most that one proxy got for one change
	CPU          float64 `json:"cpu"`           // of the control plane, for one change
	RSS          int64   `json:"rss"`
	Heap         int64   `json:"heap,omitempty"`
	HeapPerProxy int64   `json:"heapPerProxy,omitempty"`
	Allocs       float64 `json:"allocs,omitempty"`     // objects that the control plane allocated for one change
	FloorRatio   float64 `json:"floorRatio,omitempty"` // Last by that of the floor

	all, lasts []time.Duration
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// patience is how long a change may take.
const patience = 20 * time.Second

// take waits for what is sought, counting from the moment at.
func (r *result) take(f *fleet, s *sought, at time.Time) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sought = nil
	r.Missed += s.want - len(s.seen)
	last := time.Duration(0)
	for _, t := range s.seen {
		d := max(t.Sub(at), 0) // it may be there before the answer of the API server
		r.all = append(r.all, d)
		last = max(last, d)
	}
	r.lasts = append(r.lasts, last)
}

func (r *result) count(f *fleet, before, after cost) {
	t := f.counted()
	n := max(r.Changes, 1)
	r.Messages, r.Bytes, r.Useless, r.UselessBytes, r.Concerned = t.Messages, t.Bytes, t.Useless, t.UselessBytes, t.Concerned
	r.Sample = t.UselessSample
	r.PerProxy = float64(t.Most) / float64(n)
	r.CPU = ms(after.CPU-before.CPU) / float64(n)
	r.RSS = after.RSS
}

func (r *result) finish() {
	slices.Sort(r.all)
	slices.Sort(r.lasts)
	if n := len(r.all); n > 0 {
		r.P50, r.P99 = ms(r.all[n/2]), ms(r.all[min(n*99/100, n-1)])
	}
	if n := len(r.lasts); n > 0 {
		r.Last, r.Worst = ms(r.lasts[n/2]), ms(r.lasts[n-1])
	}
}

// report is all of one run.
type report struct {
	Size    size     `json:"size"`
	Source  string   `json:"source"`
	Mode    string   `json:"mode"`
	Version string   `json:"version"`
	Seed    uint64   `json:"seed"`
	Load    string   `json:"loadAverage"` // of the machine, at the start and the end
	Results []result `json:"results"`
}

func (r *report) table(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d services × %d pods, %d sidecars, %d gateways; %s, %s; load average %s\n",
		r.Size.Name, r.Size.Services, r.Size.Pods, r.Size.Sidecars, r.Size.Gateways, r.Source, r.Mode, r.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tn\tp50 ms\tp99 ms\tlast ms\tworst\tmissed\tmsgs\tkB\tuseless\tB/proxy\tCPU ms\tallocs\tRSS MB\theap MB\tkB/proxy\t×floor\t")
	for _, x := range r.Results {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t%.0f\t%.1f\t%.0f\t%d\t%.1f\t%.1f\t%.1f\t\n", x.Scenario, x.Changes, x.P50, x.P99, x.Last, x.Worst,
			x.Missed, x.Messages, x.Bytes/1000, x.Useless, x.PerProxy, x.CPU, x.Allocs, x.RSS>>20, float64(x.Heap)/1e6, float64(x.HeapPerProxy)/1e3, x.FloorRatio)
	}
	return t.Flush()
}
