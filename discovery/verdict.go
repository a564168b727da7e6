package discovery

import (
	"maps"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/fairway-mesh/fairway/snapshot"
)

// What a proxy refuses is a matter between it and its namespace: whoever runs a
// sidecar can have it say what they like. So each namespace has a court of its
// own, and nothing that is said in one counts in another.
//
// A version is withheld from the other proxies of a namespace when two pods of
// different workloads have refused it, or, while all proxies there are of one
// workload, two of its pods. One word alone counts for the pod that says it;
// others that come anew begin with the last good version, and are offered the
// newer one when they are complete. Whoever takes a version after all ends its case.

// court holds the refusals of one namespace. Safe for concurrent use.
type court struct {
	namespace string

	mu       sync.Mutex
	cases    *simplelru.LRU[version, *refusedCase]
	verdicts map[audience]*verdicts // as of now; made when they are asked for
	proxies  map[string]int         // connected, by workload
	voters   map[string]struct{}    // pods with a vote in some case
	open     atomic.Int32           // cases, so that the usual one, none, takes no lock
}

// refusedCase is what is known of a version that somebody refused.
type refusedCase struct {
	good  *snapshot.Resource // the last good version before; nil when there is none
	votes map[string]string  // workloads by pod
	own   bool               // two pods of the only workload have refused it
	by    string             // NAMESPACE/POD of the first who did
	words string             // of that
}

// juror is a proxy as a court knows it.
type juror struct{ pod, workload string }

// audience is for whom a verdict counts: the proxies of a workload, those apart
// that are not complete yet, and pods that have refused something themselves.
type audience struct {
	juror
	newcomer bool
}

const (
	casesSize  = 256 // of a namespace; one with more refused resources has other worries
	votesSize  = 16  // of a case
	courtsSize = 256 // of namespaces whose last proxy has gone, and may come back
)

// verdicts are the versions that are withheld from an audience. They do not
// change. Nil withholds nothing.
type verdicts struct {
	withheld map[version]*refusedCase
}

type version struct {
	key     snapshot.Key
	version string
}

func versionOf(r *snapshot.Resource) version {
	return version{snapshot.Key{Type: r.Type, Name: r.Name}, r.Version}
}

// refuses says whether a version is withheld.
func (v *verdicts) refuses(which version) bool {
	if v == nil {
		return false
	}
	_, bad := v.withheld[which]
	return bad
}

// effective is what to send for r: r itself, the last good version of one that
// is withheld, or nil.
func (v *verdicts) effective(r *snapshot.Resource) *snapshot.Resource {
	if r == nil || v == nil {
		return r
	}
	if known, bad := v.withheld[versionOf(r)]; bad {
		return known.good
	}
	return r
}

// words are those of a proxy, NAMESPACE/POD, that refused a version; empty when
// none did.
func (v *verdicts) words(which version) (by, words string) {
	if v == nil || v.withheld[which] == nil {
		return "", ""
	}
	return v.withheld[which].by, v.withheld[which].words
}

// and adds versions to those that are withheld.
func (v *verdicts) and(more map[version]*refusedCase) *verdicts {
	if len(more) == 0 {
		return v
	}
	all := maps.Clone(more)
	if v != nil {
		maps.Copy(all, v.withheld)
	}
	return &verdicts{all}
}

func newCourt(namespace string) *court {
	cases, err := simplelru.NewLRU[version, *refusedCase](casesSize, nil)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &court{namespace: namespace, cases: cases, verdicts: map[audience]*verdicts{}, proxies: map[string]int{}, voters: map[string]struct{}{}}
}

// refuse records that a proxy refused r, in its words, and held good before,
// which may be nil.
func (c *court) refuse(by juror, r, good *snapshot.Resource, words string) {
	if r.OfFiles() {
		return // what one proxy does not have, another may
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if good != nil {
		if known, bad := c.cases.Peek(versionOf(good)); bad {
			good = known.good
		}
	}
	known, again := c.cases.Get(versionOf(r))
	if !again {
		known = &refusedCase{votes: map[string]string{}, by: c.namespace + "/" + by.pod, words: words}
		c.cases.Add(versionOf(r), known)
	}
	if _, voted := known.votes[by.pod]; voted && (known.good != nil || good == nil) {
		return
	}
	if known.good == nil {
		known.good = good
	}
	if len(known.votes) < votesSize {
		known.votes[by.pod] = by.workload
	}
	known.own = known.own || len(known.votes) > 1 && len(c.proxies) <= 1
	c.changed()
}

// accept records that a proxy of the namespace took r after all: the refusal
// was a matter of those that refused it.
func (c *court) accept(r *snapshot.Resource) {
	if c == nil || c.open.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cases.Remove(versionOf(r)) {
		c.changed()
	}
}

func (c *court) changed() {
	c.open.Store(int32(c.cases.Len())) //nolint:gosec // bounded by casesSize
	clear(c.verdicts)
	clear(c.voters)
	for _, known := range c.cases.Values() {
		for pod := range known.votes {
			c.voters[pod] = struct{}{}
		}
	}
}

// of are the verdicts for an audience, the same pointer until they change. A
// nil court has none.
func (c *court) of(a audience) *verdicts {
	if c == nil || c.open.Load() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, voted := c.voters[a.pod]; !voted {
		a.pod = "" // it is one of many
	}
	known, made := c.verdicts[a]
	if !made {
		known = c.judge(a)
		c.verdicts[a] = known
	}
	return known
}

func (c *court) judge(a audience) *verdicts {
	withheld := map[version]*refusedCase{}
	for _, v := range c.cases.Keys() {
		known, _ := c.cases.Peek(v)
		if known.counts(a) {
			fixed := *known // the votes are not read from it
			withheld[v] = &fixed
		}
	}
	if len(withheld) == 0 {
		return nil
	}
	return &verdicts{withheld}
}

// counts says whether a version is withheld from an audience.
func (c *refusedCase) counts(a audience) bool {
	first, agreed, concerns := "", false, false
	for pod, workload := range c.votes {
		if pod == a.pod {
			return true
		}
		agreed = agreed || first != "" && first != workload
		first = workload
		concerns = concerns || workload == a.workload
	}
	return agreed || c.own && concerns || a.newcomer && c.good != nil
}

// courts are those of all namespaces. Safe for concurrent use.
type courts struct {
	mu    sync.Mutex
	inUse map[string]*seat
	idle  *lru.Cache[string, *court]
}

// seat counts the proxies that a court is there for.
type seat struct {
	court   *court
	proxies int
}

func newCourts() *courts {
	idle, err := lru.New[string, *court](courtsSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &courts{inUse: map[string]*seat{}, idle: idle}
}

// enter is the court of a namespace, for a proxy of a workload until it leaves.
func (c *courts) enter(namespace, workload string) *court {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.inUse[namespace]
	if s == nil {
		s = &seat{}
		if old, ok := c.idle.Get(namespace); ok {
			c.idle.Remove(namespace)
			s.court = old
		} else {
			s.court = newCourt(namespace)
		}
		c.inUse[namespace] = s
	}
	s.proxies++
	s.court.mu.Lock()
	s.court.proxies[workload]++
	s.court.mu.Unlock()
	return s.court
}

// leave takes back an enter.
func (c *courts) leave(namespace, workload string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.inUse[namespace]
	s.court.mu.Lock()
	if s.court.proxies[workload]--; s.court.proxies[workload] == 0 {
		delete(s.court.proxies, workload)
	}
	s.court.mu.Unlock()
	if s.proxies--; s.proxies > 0 {
		return
	}
	delete(c.inUse, namespace)
	if s.court.open.Load() > 0 {
		c.idle.Add(namespace, s.court)
	}
}
