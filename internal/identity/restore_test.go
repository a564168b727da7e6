package identity

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// safe is a Storage that anybody can break.
type safe struct {
	Memory
	mu     sync.Mutex
	writes int
}

// put replaces what is stored, nil: deletes it.
func (s *safe) put(data map[string][]byte) {
	s.Memory.mu.Lock()
	defer s.Memory.mu.Unlock()
	s.entries, s.version = maps.Clone(data), s.version+1
}

func (s *safe) get() map[string][]byte {
	s.Memory.mu.Lock()
	defer s.Memory.mu.Unlock()
	return maps.Clone(s.entries)
}

func (s *safe) Load(ctx context.Context) (map[string][]byte, string, error) {
	data, v, err := s.Memory.Load(ctx)
	if data == nil { // deleted: a creation has no version
		s.Memory.mu.Lock()
		defer s.Memory.mu.Unlock()
		s.version, v = 0, ""
	}
	return data, v, err
}

func (s *safe) Save(ctx context.Context, entries map[string][]byte, version string) error {
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
	return s.Memory.Save(ctx, entries, version)
}

func (s *safe) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// breakages are what happens to a stored keyring, by the fault that is seen.
func breakages(t *testing.T, good, older map[string][]byte) map[string]struct {
	fault string
	data  map[string][]byte
} {
	stranger := &Memory{}
	open(t, Options{Storage: stranger})
	foreign, _, _ := stranger.Load(t.Context())
	without := func(entry string) map[string][]byte {
		out := maps.Clone(good)
		delete(out, entry)
		return out
	}
	with := func(entry string, text []byte) map[string][]byte {
		out := maps.Clone(good)
		out[entry] = text
		return out
	}
	inPlace := with(entryCert, foreign[entryCert])
	inPlace[entryKey] = foreign[entryKey]
	unsigned := maps.Clone(foreign)
	delete(unsigned, entryLineage)
	return map[string]struct {
		fault string
		data  map[string][]byte
	}{
		"deleted":                     {faultDeleted, nil},
		"emptied":                     {faultEmptied, map[string][]byte{}},
		"all of a type of its own":    {faultEmptied, map[string][]byte{"tls.crt": {}, "tls.key": {}}},
		"the key is cut off":          {faultDamaged, with(entryKey, good[entryKey][:40])},
		"the key is missing":          {faultDamaged, without(entryKey)},
		"the certificate is missing":  {faultDamaged, without(entryCert)},
		"the certificate is cut off":  {faultDamaged, with(entryCert, good[entryCert][:100])},
		"a byte of it differs":        {faultDamaged, with(entryCert, bytes.Replace(good[entryCert], []byte("A"), []byte("B"), 3))},
		"the key is another's":        {faultDamaged, with(entryKey, foreign[entryKey])},
		"the lineage is garbage":      {faultDamaged, with(entryLineage, []byte("x"))},
		"the root that is to follow":  {faultOlder, map[string][]byte{entryCert: good[entryCert], entryKey: good[entryKey], entryLineage: good[entryLineage]}},
		"a stranger's":                {faultForeign, foreign},
		"a stranger's, written into":  {faultForeign, inPlace},
		"a stranger's, no lineage":    {faultForeign, unsigned},
		"an old backup":               {faultOlder, older},
		"what is trusted is garbage":  {faultDamaged, with(entryTrusted, []byte("x"))},
		"only words for people there": {faultEmptied, map[string][]byte{entryBundle: good[entryBundle]}},
	}
}

// TestRootOutlivesItsStorage breaks what is stored, in the middle of a
// succession, and looks at three replicas, of which one leads.
func TestRootOutlivesItsStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &safe{}
		o := Options{Storage: storage}
		leader, others := open(t, o), []*Authority{open(t, o), open(t, o)}
		all := append([]*Authority{leader}, others...)
		for _, a := range all {
			go a.Run(ctx) //nolint:errcheck // returns nil
		}
		go leader.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		older := storage.get()
		if err := leader.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		bundle, good := leader.Bundle(), storage.get()
		from, seen := time.Now(), map[*Authority]*trust{} // what signs depends on nothing else
		for name, b := range breakages(t, good, older) {
			before := leader.Restored()[b.fault]
			storage.put(b.data)
			for range 60 {
				time.Sleep(time.Second)
				synctest.Wait()
				for _, a := range all {
					if now := a.trust.Load(); now != seen[a] {
						seen[a] = now
						mustVerify(t, issue(t, a), bundle)
					}
					if string(a.Bundle()) != string(bundle) {
						t.Fatalf("%s: the bundle has changed", name)
					}
				}
			}
			if n := leader.Restored()[b.fault]; n != before+1 {
				t.Errorf("%s: put back %v", name, leader.Restored())
			}
			if m := others[1].Mended(); m.Fault != b.fault || time.Since(m.At) > time.Minute {
				t.Errorf("%s: another replica says %v", name, m)
			}
			for _, a := range all {
				if err := a.Problem(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			mustVerify(t, issue(t, open(t, o)), bundle) // a replica that starts
			time.Sleep(20 * time.Minute)                // so that the next one is mended at once
			if time.Since(from) > 50*time.Minute {      // before the next root signs
				from = time.Now()
				good[entryNextFrom] = []byte(from.Add(time.Hour).UTC().Format(time.RFC3339))
				for _, a := range all {
					k := *a.heldKeyring()
					k.from = from.Add(time.Hour)
					a.hold(&k)
				}
				storage.put(leader.heldKeyring().encode())
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestFollowersPutBack has nobody lead.
func TestFollowersPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &safe{}
		a, b := open(t, Options{Storage: storage}), open(t, Options{Storage: storage})
		go a.Run(ctx) //nolint:errcheck // returns nil
		go b.Run(ctx) //nolint:errcheck // returns nil
		bundle, good := a.Bundle(), storage.get()
		storage.put(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if now := storage.get(); !bytes.Equal(now[entryKey], good[entryKey]) || a.Problem() != nil || b.Problem() != nil {
			t.Errorf("not put back: %v, %v", a.Problem(), b.Problem())
		}
		stranger := &Memory{}
		open(t, Options{Storage: stranger})
		foreign, _, _ := stranger.Load(ctx)
		storage.put(foreign)
		writes := storage.written()
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, x := range []*Authority{a, b} {
			if err := x.Problem(); err == nil || !strings.Contains(err.Error(), "not those of this mesh") {
				t.Errorf("a stranger's root: %v", err)
			}
			if mustVerify(t, issue(t, x), bundle); string(x.Bundle()) != string(bundle) {
				t.Error("the stranger's root is handed out")
			}
		}
		if storage.written() != writes {
			t.Error("a replica that does not lead writes over a stranger's root")
		}
		cancel()
		synctest.Wait()
	})
}

// TestRestoringBacksOff has somebody delete what is stored every second.
func TestRestoringBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &safe{}
		a := open(t, Options{Storage: storage})
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go a.Maintain(ctx) //nolint:errcheck // returns nil
		bundle := a.Bundle()
		time.Sleep(time.Minute)
		writes := storage.written()
		for range 3600 {
			storage.put(nil)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		// Without a pause there would be one at each look, hundreds; with the longest, which is
		// spread at random, some 25.
		if n := storage.written() - writes; n < 10 || n > 50 {
			t.Errorf("%d writes in an hour", n)
		}
		mustVerify(t, issue(t, a), bundle)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if storage.get() == nil || a.Problem() != nil {
			t.Errorf("in the end: %v", a.Problem())
		}
		cancel()
		synctest.Wait()
	})
}

// TestRootThatNobodyKnows has a replica miss a whole succession: it signs with
// the new root only when its own proxies have known it for the overlap.
func TestRootThatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &safe{}
		o := Options{Storage: storage}
		leader, late := open(t, o), open(t, o)
		go leader.Run(ctx)      //nolint:errcheck // returns nil
		go leader.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		if err := leader.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		old := late.Bundle()
		go late.Run(ctx) //nolint:errcheck // returns nil
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		mustVerify(t, issue(t, late), old)
		if n := len(late.Roots()); n != 2 {
			t.Errorf("%d roots are handed out", n)
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if _, err := verify(t, issue(t, late).Chain, old, x509.ExtKeyUsageClientAuth); err == nil {
			t.Error("the new root does not sign")
		}
		mustVerify(t, issue(t, late), late.Bundle())
		cancel()
		synctest.Wait()
	})
}
