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

// hostilePods are as large as a webhook takes them, or nearly; with a share of more than
// one, of everything that many times less.
func hostilePods(share int) map[string][]byte {
	return map[string][]byte{
		"variables of the proxy":     podJSON("", `,{"name":"istio-proxy","image":"auto","env":`+listOf(30_000/share, `{"name":"v%d","value":"x"}`)+`}]`),
		"ports of the proxy":         podJSON("", `,{"name":"istio-proxy","image":"auto","ports":`+listOf(45_000/share, `{"containerPort":%d}`)+`}]`),
		"mounts of the proxy":        podJSON("", `,{"name":"istio-proxy","image":"auto","volumeMounts":`+listOf(30_000/share, `{"name":"v","mountPath":"/%d"}`)+`}]`),
		"containers":                 podJSON("", `,`+strings.Trim(listOf(30_000/share, `{"name":"c%d","image":"i"}`), "[]")+`]`),
		"init containers":            podJSON("", `],"initContainers":`+listOf(20_000/share, `{"name":"c%d","image":"i","restartPolicy":"Always"}`)),
		"containers with probes":     podJSON("", `,`+strings.Trim(listOf(9_000/share, `{"name":"c%d","image":"i","readinessProbe":{"httpGet":{"port":"h"}},"ports":[{"name":"h","containerPort":8080}]}`), "[]")+`]`),
		"ports":                      podJSON("", `,{"name":"b","image":"i","ports":`+listOf(45_000/share, `{"containerPort":%d}`)+`,"readinessProbe":{"tcpSocket":{"port":"none"}}}]`),
		"ports that are the proxy's": podJSON("", `,{"name":"b","image":"i","ports":`+listOf(45_000/share, `{"containerPort":15001,"hostPort":%d}`)+`}]`),
		"volumes":                    podJSON("", `],"volumes":`+listOf(30_000/share, `{"name":"v%d","emptyDir":{}}`)),
		"unknown annotations":        podJSON(`,"annotations":`+fieldsOf(45_000/share, `"traffic.sidecar.istio.io/excludeOutboundIPRangez%d":"x"`), "]"),
		"labels":                     podJSON(`,"labels":`+fieldsOf(90_000/share, `"label-%d":"x"`), "]"),
		"metadata of the proxy":      annotated(proxyConfigName, "proxyMetadata: "+fieldsOf(100_000/share, `"v%d":"x"`)),
		"fields of the proxy":        annotated(proxyConfigName, fieldsOf(100_000/share, `"v%d":"x"`)),
		"deep settings of the proxy": annotated(proxyConfigName, strings.Repeat("[", 100_000/share)),
		"aliases":                    annotated(proxyConfigName, "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nproxyMetadata: {a: *e, b: *e, c: *e, d: *e, e: *e, f: *e, g: *e, h: *e}\n"),
		"expressions":                annotated(sidecarPrefix+"statsInclusionRegexps", strings.Repeat("a{1000},", 300_000/share)),
		"prefixes of statistics":     annotated(sidecarPrefix+"statsInclusionPrefixes", strings.Repeat("a,", 1_000_000/share)),
		"ports not captured":         annotated(trafficPrefix+"excludeInboundPorts", strings.Repeat("65535,1,", 350_000/share)),
		"ranges not captured":        annotated(trafficPrefix+"excludeOutboundIPRanges", strings.Repeat("10.0.0.0/8,11.0.0.0/8,", 120_000/share)),
		"interfaces not captured":    annotated(trafficPrefix+"excludeInterfaces", strings.Repeat("e,f,", 600_000/share)),
		"templates":                  annotated(TemplatesName, strings.Repeat("sidecar,", 300_000/share)),
	}
}

// largestPods say in annotations nearly as much as is taken of each.
func largestPods() map[string][]byte {
	list := func(word string) string { return strings.Repeat(word+",", maxWords-1) + word }
	return map[string][]byte{
		"expressions":             annotated(sidecarPrefix+"statsInclusionRegexps", strings.Repeat(strings.Repeat("(a{1000}|b)", maxExpression/11)+",", 15)+"a"),
		"prefixes of statistics":  annotated(sidecarPrefix+"statsInclusionPrefixes", list("http.inbound")),
		"ports not captured":      annotated(trafficPrefix+"excludeInboundPorts", list("65535")),
		"ranges not captured":     annotated(trafficPrefix+"excludeOutboundIPRanges", list("10.0.0.0/8")),
		"interfaces not captured": annotated(trafficPrefix+"excludeInterfaces", list("eth0")),
		"settings of the proxy":   annotated(proxyConfigName, "proxyMetadata: "+fieldsOf(3_000, `"v%d":"x"`)),
	}
}

// TestLargestAnnotationsAreTaken: what is within the bounds is read.
func TestLargestAnnotationsAreTaken(t *testing.T) {
	for what, pod := range largestPods() {
		p := DefaultParams()
		p.Namespace = "default"
		if _, _, err := Patch(pod, p); err != nil {
			t.Errorf("%s: %.200v", what, err)
		}
	}
}

// TestHostilePodsCostLittle: whoever may make pods, or reaches the webhook, has it work in
// proportion to what he sends, and gets no more back than a few times that.
func TestHostilePodsCostLittle(t *testing.T) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	small, large := hostilePods(32), hostilePods(4)
	for _, what := range slices.Sorted(maps.Keys(large)) {
		var took [2]time.Duration
		for i, pod := range [][]byte{small[what], large[what]} {
			if !json.Valid(pod) {
				t.Fatalf("%s: not JSON", what)
			}
			p := DefaultParams()
			p.Namespace = "default"
			before := used()
			patch, notes, err := Patch(pod, p)
			took[i] = used() - before
			size := len(patch)
			for _, n := range notes {
				size += len(n)
			}
			t.Logf("%-28s %7d bytes: %6d ms, %8d bytes, %d notes, %.80v", what, len(pod), took[i].Milliseconds(), size, len(notes), err)
			if size > 4*len(pod)+192<<10 { // the bootstrap itself is as large as an argument may be
				t.Errorf("%s: answers %d bytes for %d", what, size, len(pod))
			}
		}
		// Eight times as much is eight times the work; sixty-four times is work that grows
		// faster than the pod. What takes a moment is not compared.
		if took[1] > 16*took[0]+300*time.Millisecond {
			t.Errorf("%s: eight times as much takes %s, and not some %s", what, took[1], 8*took[0])
		}
	}
}
