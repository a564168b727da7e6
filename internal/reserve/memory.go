package reserve

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Of the memory that a process may have, Go keeps to the first share; at the second
// what can be built again is let go of, below the third all is well again. The rest
// is for what Go does not count, and for the moment between two looks.
const (
	softShare = 0.90
	nearShare = 0.80
	wellShare = 0.70
)

// Memory watches how near the process is to its limit.
type Memory struct {
	limit int64 // bytes; 0: there is none
	log   *slog.Logger
	shed  func()

	near    bool
	sheds   prometheus.Counter
	nearing prometheus.Gauge
}

// NewMemory has Go keep within the limit of the control group, unless GOMEMLIMIT
// says otherwise. shed is called near the limit, and lets go of what can be built
// again. Registerer may be nil.
func NewMemory(log *slog.Logger, registerer prometheus.Registerer, shed func()) *Memory {
	return memoryWithin(groupLimit("/proc/self/cgroup", "/sys/fs/cgroup"), log, registerer, shed)
}

func memoryWithin(group int64, log *slog.Logger, registerer prometheus.Registerer, shed func()) *Memory {
	m := &Memory{log: log, shed: shed}
	if group > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(softShare * float64(group)))
	}
	if soft := debug.SetMemoryLimit(-1); soft < math.MaxInt64 {
		m.limit = soft
	}
	m.sheds = prometheus.NewCounter(prometheus.CounterOpts{Name: "fairway_memory_sheds_total", Help: "How often what can be built again was let go of since memory ran short."})
	m.nearing = prometheus.NewGauge(prometheus.GaugeOpts{Name: "fairway_memory_near_limit", Help: "1 while what is alive takes most of the memory that the process may have."})
	if registerer != nil {
		registerer.MustRegister(m.sheds, m.nearing,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fairway_memory_limit_bytes", Help: "Memory that the process keeps to; 0: no limit is known."}, func() float64 { return float64(m.limit) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fairway_memory_live_bytes", Help: "Heap that the last collection found alive."}, func() float64 { return float64(live()) }))
	}
	return m
}

// Run looks once a second, until ctx ends.
func (m *Memory) Run(ctx context.Context) {
	if m.limit == 0 {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shed := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if m.look(live()) && now.Sub(shed) > shedEvery {
				shed = now
				m.sheds.Inc()
				m.shed()
				debug.FreeOSMemory()
			}
		}
	}
}

// shedEvery is how often something is let go of, at most: a collection costs.
const shedEvery = 15 * time.Second

// look says whether what is alive comes near the limit, and tells when that
// changes.
func (m *Memory) look(alive int64) bool {
	share := float64(alive) / float64(m.limit)
	switch {
	case !m.near && share >= nearShare:
		m.near = true
		m.nearing.Set(1)
		m.log.Warn("memory is short; dropping what can be built again", "liveMB", alive>>20, "limitMB", m.limit>>20,
			"remedy", "raise the memory limit of the control plane (controlPlane.resources.limits.memory of the chart), or run more replicas")
	case m.near && share < wellShare:
		m.near = false
		m.nearing.Set(0)
		m.log.Info("memory is no longer short", "liveMB", alive>>20, "limitMB", m.limit>>20)
	}
	return m.near
}

func live() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(s[0].Value.Uint64()) //nolint:gosec // a heap is smaller
}

// groupLimit is the least limit of memory of the control group that a file like
// /proc/self/cgroup names, and of those above it; 0 when there is none. A container
// sees its own group as the root.
func groupLimit(file, root string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, name := root, "memory.max"
		switch {
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for dir := filepath.Clean(parts[2]); ; dir = filepath.Dir(dir) {
			if n := readLimit(filepath.Join(base, dir, name)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return least
}

// readLimit is 0 for no limit; version 1 writes one that no machine reaches.
func readLimit(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}
