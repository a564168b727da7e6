package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// curve is one value of each scenario over the sizes of meshes.
type curve struct {
	file, title, unit string
	scenarios         []string
	value             func(result) float64
}

var curves = []curve{
	{"latency.svg", "From the API server's answer to the last proxy", "ms", changing, func(r result) float64 { return r.Last }},
	{"cpu.svg", "CPU of the control plane for one change", "ms", changing, func(r result) float64 { return r.CPU }},
	{"bytes.svg", "Bytes that one proxy gets for one change", "B", changing, func(r result) float64 { return r.PerProxy }},
	{"connect.svg", "All proxies connect at once: CPU of the control plane", "ms", connecting, func(r result) float64 { return r.CPU }},
	{"arrive.svg", "All proxies connect at once: until the last has all", "ms", connecting, func(r result) float64 { return r.Last }},
	{"storm.svg", "Large changes: CPU of the control plane, for one", "ms", large, func(r result) float64 { return r.CPU }},
	{"storm-latency.svg", "Large changes: until the last proxy has all", "ms", large, func(r result) float64 { return r.Last }},
	{"heap.svg", "Live heap of the control plane for one proxy, what all share included, and for each further one", "kB", []string{"cold connect", "each further proxy", "cold connect, TLS", "each further proxy, TLS", "floor"},
		func(r result) float64 { return float64(r.HeapPerProxy) / 1e3 }},
	{"world.svg", "Live heap of the world", "MB", []string{"world in the control plane", "world in an untrimmed cache"}, func(r result) float64 { return float64(r.Heap) / 1e6 }},
}

var (
	changing   = []string{"VirtualService flip", "VirtualService flip, 10/s", "DestinationRule change", "Service added", "Service removed", "endpoint added, 10/s", "endpoint added, full rate", "floor"}
	connecting = []string{"cold connect", "cold connect, TLS", "reconnect unchanged", "reconnect, one host is old", "reconnect storm, forgetful", "control plane restarted", "cold start to ready", "cold start, after the lists"}
	large      = []string{"mesh config change", "rolling restart, 100 pods", "namespace deleted", "idle, 5 s"}
)

// draw makes the curves of earlier runs, and writes their tables. What is about
// fan-out only is on no curve.
func draw(dir string, files []string) error {
	var reports []report
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading results: %w", err)
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("reading results of %s: %w", name, err)
		}
		r.markdown(os.Stdout)
		if r.Size.Name != "F" {
			reports = append(reports, r)
		}
	}
	slices.SortFunc(reports, func(a, b report) int { return a.Size.Services - b.Size.Services })
	for _, c := range curves {
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.svg(reports)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const (
	width, height = 760, 400
	left, right   = 70, 230
	top, bottom   = 50, 50
)

var colors = []string{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#7f7f7f", "#8c564b", "#17becf"}

// svg draws the curve with logarithmic axes.
func (c curve) svg(reports []report) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/><text x="%d" y="24" font-size="15">%s (%s)</text>`+"\n", width, height, left, c.title, c.unit)
	lowest, highest := math.Inf(1), 0.1
	for _, r := range reports {
		for _, x := range r.Results {
			if v := c.value(x); slices.Contains(c.scenarios, x.Scenario) && v > 0 {
				lowest, highest = min(lowest, v), max(highest, v)
			}
		}
	}
	from, to := math.Floor(math.Log10(lowest)), math.Ceil(math.Log10(highest))
	y := func(v float64) float64 {
		return height - bottom - (math.Log10(v)-from)/max(to-from, 1)*(height-top-bottom)
	}
	x := func(i int) float64 {
		return left + 30 + float64(i)/max(float64(len(reports)-1), 1)*(width-left-right-60)
	}
	for e := from; e <= to; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y(v), width-right, y(v), left-6, y(v)+4, v)
	}
	for i, r := range reports {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s: %d services, %d proxies</text>`+"\n", x(i), height-bottom+20, r.Size.Name, r.Size.Services, r.Size.Sidecars+r.Size.Gateways)
	}
	for k, name := range c.scenarios {
		var points []string
		for i, r := range reports {
			for _, res := range r.Results {
				if v := c.value(res); res.Scenario == name && v > 0 {
					points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(v)))
				}
			}
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), colors[k%len(colors)])
		for _, p := range points {
			cx, cy, _ := strings.Cut(p, ",")
			fmt.Fprintf(&b, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`, cx, cy, colors[k%len(colors)])
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", width-right+12, top+20*k+12, colors[k%len(colors)], name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
