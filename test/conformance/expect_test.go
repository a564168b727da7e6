package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shareTolerance is by how much a share may be off.
const shareTolerance = 0.12

// expect makes the request until what it wants is seen; otherwise it says what was
// seen at last.
func (w *world) expect(r request) (results []result, problem string) {
	within := r.Within
	if within == 0 {
		within = 10 * time.Second
	}
	if eventually(within, func() bool {
		var err error
		if results, err = w.do(r); err != nil {
			problem = err.Error()
			return false
		}
		problem = w.judge(r.Want, results)
		return problem == ""
	}) {
		return results, ""
	}
	sent := r
	sent.Want = want{}
	return nil, fmt.Sprintf("%s\n\trequest: %+v\n\twanted: %s", problem, sent, wanted(r.Want))
}

// wanted is a want without what it does not say.
func wanted(w want) string {
	text, err := json.Marshal(w)
	if err != nil {
		return err.Error()
	}
	fields := map[string]any{}
	_ = json.Unmarshal(text, &fields)
	for k, v := range fields {
		if v == nil || v == "" || v == false || v == float64(0) {
			delete(fields, k)
		}
	}
	text, _ = json.Marshal(fields)
	return string(text)
}

// judge says what is wrong with the results, or nothing.
func (w *world) judge(want want, results []result) string {
	wrong, good := "", 0
	var ids []string
	workloads, pods := map[string]float64{}, map[string]bool{}
	for _, r := range results {
		ids = append(ids, r.id)
		if problem := want.one(r); problem != "" {
			wrong = problem + ", got " + r.String()
			continue
		}
		good++
		workloads[r.seen.Workload] += 1 / float64(len(results))
		pods[r.seen.Pod] = true
	}
	part := want.Answered
	if part == 0 {
		part = 1
		if good < len(results) {
			return wrong
		}
	}
	if got := float64(good) / float64(len(results)); math.Abs(got-part) > shareTolerance {
		return fmt.Sprintf("%.2f of the requests were as wanted, want %.2f: %s", got, part, wrong)
	}
	if want.Pods != 0 && len(pods) != want.Pods {
		return fmt.Sprintf("%d pods answered, want %d: %v", len(pods), want.Pods, pods)
	}
	if want.Shares != nil {
		if problem := compare(want.Shares, workloads, shareTolerance); problem != "" {
			return "shares: " + problem
		}
	}
	problem := w.judgeReports(want, ids)
	if want.Copies == nil || problem != "" {
		return problem
	}
	eventually(2*time.Second, func() bool { // copies may come after the answer
		problem = compare(want.Copies, w.ledger.copies(ids), shareTolerance)
		return problem == ""
	})
	return problem
}

// flush is by when a proxy has reported its spans: each tracer of Envoy keeps them
// for some seconds.
const flush = 12 * time.Second

// judgeReports says what is wrong with the spans of the requests.
func (w *world) judgeReports(want want, ids []string) (problem string) {
	if len(want.Reported) == 1 && len(want.Reported[0]) == 0 {
		time.Sleep(flush)
		for _, id := range ids {
			if w.ledger.reported(id) {
				return "a span of the request was reported, want none"
			}
		}
		return ""
	}
	eventually(flush, func() bool {
		problem = ""
		for _, id := range ids {
			for _, texts := range want.Reported {
				if !w.ledger.reported(append([]string{id}, texts...)...) {
					problem = fmt.Sprintf("no report of the request holds %q", texts)
				}
			}
		}
		return problem == ""
	})
	return problem
}

// compare says where numbers differ.
func compare(want, got map[string]float64, tolerance float64) string {
	for name := range got {
		if _, named := want[name]; !named {
			return fmt.Sprintf("%s has %.2f, want none (all: %v)", name, got[name], got)
		}
	}
	for name, n := range want {
		if math.Abs(got[name]-n) > tolerance {
			return fmt.Sprintf("%s has %.2f, want %.2f (all: %v)", name, got[name], n, got)
		}
	}
	return ""
}

// one looks at one result.
func (w want) one(r result) string {
	if w.Blocked {
		if r.err == nil {
			return "want the connection refused or cut"
		}
		return ""
	}
	status := w.Status
	if status == 0 {
		status = http.StatusOK
	}
	if r.status == http.StatusSwitchingProtocols && w.Status == 0 {
		status = r.status
	}
	switch {
	case r.err != nil:
		return "want an answer"
	case r.status != status:
		return fmt.Sprintf("want status %d", status)
	case w.By != "" && r.seen.Workload != w.By:
		return fmt.Sprintf("want an answer by %s, got one by %q", w.By, r.seen.Workload)
	case w.Least != 0 && r.took < w.Least, w.Most != 0 && r.took > w.Most:
		return fmt.Sprintf("want it between %v and %v", w.Least, w.Most)
	case w.ServerName != "" && !slices.Contains(r.serverName, w.ServerName):
		return fmt.Sprintf("want the certificate of %s, got one of %q", w.ServerName, r.serverName)
	case r.grpc != "" && r.grpc != strconv.Itoa(w.GRPCStatus):
		return fmt.Sprintf("want grpc-status %d, got %s", w.GRPCStatus, r.grpc)
	case !strings.Contains(r.body, w.Body):
		return fmt.Sprintf("want %q in the body", w.Body)
	}
	for _, f := range []struct{ name, want, got string }{
		{"path", w.Path, r.seen.Path}, {"host", w.Host, r.seen.Host}, {"method", w.Method, r.seen.Method}, {"protocol", w.Protocol, r.seen.Protocol}, {"client", w.Client, r.seen.Client},
	} {
		if f.want != "" && f.want != f.got {
			return fmt.Sprintf("the server saw the %s %q, want %q", f.name, f.got, f.want)
		}
	}
	for name, value := range w.Seen {
		got, there := r.seen.Headers[strings.ToLower(name)]
		if problem := header(value, got, there); problem != "" {
			return fmt.Sprintf("the server saw the header %s %s", name, problem)
		}
	}
	for name, value := range w.Answer {
		got, there := r.header[http.CanonicalHeaderKey(name)]
		if problem := header(value, strings.Join(got, ","), there); problem != "" {
			return fmt.Sprintf("the response's header %s %s", name, problem)
		}
	}
	return ""
}

// header compares a value with what is wanted of it.
func header(want *string, got string, there bool) string {
	switch {
	case want == nil && there:
		return fmt.Sprintf("is %q, want it absent", got)
	case want != nil && !there:
		return fmt.Sprintf("is absent, want %q", *want)
	case want != nil && *want != "*" && *want != got:
		return fmt.Sprintf("is %q, want %q", got, *want)
	}
	return ""
}

// checkRefusals fails the test when an Envoy refused an update, unless it may by the
// beginning of the statistic that tells so.
func (w *world) checkRefusals(t *testing.T, allowed []string) {
	t.Helper()
	for _, p := range w.pods {
		if p.proxy == nil {
			continue
		}
		text, err := askProxy(p.wire.Namespace, "/stats?filter=update_rejected")
		if err != nil {
			t.Errorf("the proxy of %s does not answer: %v", p.name, err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			if name, n, _ := strings.Cut(strings.TrimSpace(line), ": "); n != "0" && !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(name, a) }) {
				log, _ := ask(w.router.Namespace, "http://"+routerAddress.String()+":"+strconv.Itoa(debugPort)+"/debug/findings")
				t.Errorf("the proxy of %s refused updates (%s: %s); findings:\n%s", p.name, name, n, log)
			}
		}
	}
}

// circumstances are what one needs to see why a request failed: the findings and
// what the client's proxy was told about the host.
func (w *world) circumstances(r request) string {
	findings, err := w.debug("/debug/findings")
	if err != nil {
		findings = []byte(err.Error())
	}
	c, err := w.client(r.From)
	if err != nil {
		return err.Error()
	}
	if r.From == "outside" {
		for _, p := range w.pods {
			if p.gateway() {
				c.network = p.wire.Namespace
			}
		}
	}
	dump, err := askProxy(c.network, "/config_dump?include_eds")
	if err != nil {
		return fmt.Sprintf("findings: %s\nno configuration: %v", findings, err)
	}
	return fmt.Sprintf("findings: %s\nconfiguration:\n%s", findings, relevant(dump, r))
}

// relevant is the part of a dump that names the host of the request.
func relevant(dump []byte, r request) string {
	word := strings.TrimPrefix(strings.TrimPrefix(r.URL+r.TCP, "http://"), "https://")
	word = strings.FieldsFunc(word+" ", func(c rune) bool { return strings.ContainsRune(":/. ", c) })[0]
	var sections struct {
		Configs []map[string]any `json:"configs"`
	}
	if err := json.Unmarshal(dump, &sections); err != nil {
		return err.Error()
	}
	var out strings.Builder
	for _, s := range sections.Configs {
		for _, list := range s {
			items, _ := list.([]any)
			for _, item := range items {
				if text, err := json.Marshal(item); err == nil && strings.Contains(string(text), word) && out.Len() < 20_000 {
					fmt.Fprintf(&out, "%.4000s\n", text)
				}
			}
		}
	}
	return out.String()
}
