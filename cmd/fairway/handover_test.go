package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"
)

// TestHandOver walks through looks at a replica and the others.
func TestHandOver(t *testing.T) {
	const old, young = 2 * time.Minute, time.Second
	type look struct {
		age    time.Duration
		others bool
		want   step
	}
	for what, looks := range map[string][]look{
		"one answer is not enough":          {{old, true, nothing}, {old, false, nothing}, {old, true, nothing}},
		"no other is fresh":                 {{old, false, nothing}, {old, false, nothing}, {old, false, nothing}},
		"proxies leave after the Service":   {{old, true, nothing}, {old, true, leave}, {old, true, nothing}, {old, true, sendAway}, {old, true, nothing}},
		"the others become ill":             {{old, true, nothing}, {old, true, leave}, {old, true, nothing}, {old, false, sendAway}, {old, false, stay}, {old, false, nothing}},
		"fresh for a moment is not enough":  {{old, true, nothing}, {old, true, leave}, {young, true, nothing}, {old, true, sendAway}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {old, true, nothing}},
		"fresh for good":                    {{old, true, nothing}, {old, true, leave}, {young, true, nothing}, {young, true, sendAway}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {young, true, stay}, {young, true, nothing}},
		"not so old that anything is to do": {{45 * time.Second, true, nothing}, {45 * time.Second, true, nothing}, {45 * time.Second, true, nothing}},
	} {
		var s swing
		now := time.Now()
		for i, l := range looks {
			if got := s.next(now, l.age, l.others); got != l.want {
				t.Errorf("%s: look %d: %d, want %d", what, i, got, l.want)
			}
			now = now.Add(handOverEvery)
		}
	}
}

// TestLibrariesLogSparingly has a library log without end.
func TestLibrariesLogSparingly(t *testing.T) {
	var said bytes.Buffer
	quietLibraries(slog.New(slog.NewTextHandler(&said, nil)))
	for range 1000 {
		klog.Warning("a watch has ended")
	}
	klog.Flush()
	n := strings.Count(said.String(), "\n")
	if n == 0 || n > librariesAtOnce {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(said.String(), "msg=\"a watch has ended\" library=kubernetes") {
		t.Errorf("not as all that is logged:\n%s", said.String())
	}
}
