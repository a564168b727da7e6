package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listOf is a JSON list of n parts, made by their numbers.
func listOf(n int, part string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, part, i)
	}
	return "[" + b.String() + "]"
}

func fieldsOf(n int, part string) string {
	l := listOf(n, part)
	return "{" + l[1:len(l)-1] + "}"
}

func podJSON(metadata, spec string) []byte {
	return []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default"` + metadata + `},"spec":{"containers":[{"name":"a","image":"i"}` + spec + `}}`)
}

func annotated(name, value string) []byte {
	text, _ := json.Marshal(value)
	return podJSON(`,"annotations":{"`+name+`":`+string(text)+`}`, "]")
}

// hostilePods are as large as a webhook takes them, or nearly.
var hostilePods = map[string][]byte{
	"variables of the proxy":     podJSON("", `,{"name":"istio-proxy","image":"auto","env":`+listOf(30_000, `{"name":"v%d","value":"x"}`)+`}]`),
	"ports of the proxy":         podJSON("", `,{"name":"istio-proxy","image":"auto","ports":`+listOf(45_000, `{"containerPort":%d}`)+`}]`),
	"mounts of the proxy":        podJSON("", `,{"name":"istio-proxy","image":"auto","volumeMounts":`+listOf(30_000, `{"name":"v","mountPath":"/%d"}`)+`}]`),
	"containers":                 podJSON("", `,`+strings.Trim(listOf(30_000, `{"name":"c%d","image":"i"}`), "[]")+`]`),
	"init containers":            podJSON("", `],"initContainers":`+listOf(20_000, `{"name":"c%d","image":"i","restartPolicy":"Always"}`)),
	"containers with probes":     podJSON("", `,`+strings.Trim(listOf(9_000, `{"name":"c%d","image":"i","readinessProbe":{"httpGet":{"port":"h"}},"ports":[{"name":"h","containerPort":8080}]}`), "[]")+`]`),
	"ports":                      podJSON("", `,{"name":"b","image":"i","ports":`+listOf(45_000, `{"containerPort":%d}`)+`,"readinessProbe":{"tcpSocket":{"port":"none"}}}]`),
	"ports that are the proxy's": podJSON("", `,{"name":"b","image":"i","ports":`+listOf(45_000, `{"containerPort":15001,"hostPort":%d}`)+`}]`),
	"volumes":                    podJSON("", `],"volumes":`+listOf(30_000, `{"name":"v%d","emptyDir":{}}`)),
	"unknown annotations":        podJSON(`,"annotations":`+fieldsOf(45_000, `"traffic.sidecar.istio.io/excludeOutboundIPRangez%d":"x"`), "]"),
	"labels":                     podJSON(`,"labels":`+fieldsOf(90_000, `"label-%d":"x"`), "]"),
	"metadata of the proxy":      annotated(proxyConfigName, "proxyMetadata: "+fieldsOf(100_000, `"v%d":"x"`)),
	"fields of the proxy":        annotated(proxyConfigName, fieldsOf(100_000, `"v%d":"x"`)),
	"deep settings of the proxy": annotated(proxyConfigName, strings.Repeat("[", 100_000)),
	"aliases":                    annotated(proxyConfigName, "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nproxyMetadata: {a: *e, b: *e, c: *e, d: *e, e: *e, f: *e, g: *e, h: *e}\n"),
	"expressions":                annotated(sidecarPrefix+"statsInclusionRegexps", strings.Repeat("a{1000},", 300_000)),
	"prefixes of statistics":     annotated(sidecarPrefix+"statsInclusionPrefixes", strings.Repeat("a,", 1_000_000)),
	"ports not captured":         annotated(trafficPrefix+"excludeInboundPorts", strings.Repeat("65535,1,", 350_000)),
	"ranges not captured":        annotated(trafficPrefix+"excludeOutboundIPRanges", strings.Repeat("10.0.0.0/8,11.0.0.0/8,", 120_000)),
	"interfaces not captured":    annotated(trafficPrefix+"excludeInterfaces", strings.Repeat("e,f,", 600_000)),
	"templates":                  annotated(TemplatesName, strings.Repeat("sidecar,", 300_000)),
}

// TestHostilePodsCostLittle: whoever may make pods, or reaches the webhook, has it work for no
// longer than others can wait, and gets no more back than a few times what he sends.
func TestHostilePodsCostLittle(t *testing.T) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, what := range slices.Sorted(maps.Keys(hostilePods)) {
		pod := hostilePods[what]
		if !json.Valid(pod) || len(pod) > 3<<20 {
			t.Fatalf("%s: %d bytes, valid %t", what, len(pod), json.Valid(pod))
		}
		p := DefaultParams()
		p.Namespace = "default"
		before := used()
		patch, notes, err := Patch(pod, p)
		took := used() - before
		size := len(patch)
		for _, n := range notes {
			size += len(n)
		}
		t.Logf("%-28s %7d bytes: %6d ms, %8d bytes, %d notes, %.80v", what, len(pod), took.Milliseconds(), size, len(notes), err)
		if took > 5*time.Second {
			t.Errorf("%s: works for %s", what, took)
		}
		if size > 4*len(pod)+64<<10 {
			t.Errorf("%s: answers %d bytes for %d", what, size, len(pod))
		}
	}
}
