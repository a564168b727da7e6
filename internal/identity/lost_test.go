package identity

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStartWithoutItsRoot starts replicas that find less than proxies were told,
// while one still runs, and when none does.
func TestStartWithoutItsRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &safe{}
		told := &shelf{}
		o := Options{Storage: storage, Told: told.read, Log: quiet()}
		a := open(t, o) // the first of all: nobody was told anything
		go a.Run(ctx)   //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		told.put(map[string][]byte{"ConfigMap istio-system/fairway-ca-root-cert": a.Bundle(), "ConfigMap default/fairway-ca-root-cert": []byte("garbage")})
		open(t, o) // a replica
		good := storage.get()
		stranger := &Memory{}
		open(t, Options{Storage: stranger})
		foreign, _, _ := stranger.Load(ctx)
		waits := func(what string) {
			t.Helper()
			_, err := Open(ctx, o)
			if err == nil || !strings.Contains(err.Error(), "fairway ca rotate --lost") || !strings.Contains(err.Error(), a.Roots()[0].Fingerprint[:16]) {
				t.Errorf("%s: a replica starts, or says nothing of use: %v", what, err)
			}
		}
		for what, data := range map[string]map[string][]byte{"deleted": nil, "emptied": {}, "a stranger's": foreign} {
			storage.put(data)
			waits(what)
			if now := storage.get(); !maps.EqualFunc(now, data, func(a, b []byte) bool { return string(a) == string(b) }) {
				t.Errorf("%s: it wrote", what)
			}
			storage.put(good)
		}
		storage.put(nil)
		waits("before the other puts it back")
		time.Sleep(2 * time.Minute)
		if b := open(t, o); string(b.Bundle()) != string(a.Bundle()) {
			t.Error("another root than that of the replica that ran")
		}
		if err := ReplaceLost(ctx, o); err == nil {
			t.Error("a root that is there was replaced")
		}
		cancel() // nobody runs
		synctest.Wait()
		storage.put(nil)
		waits("nobody runs")
		last := issue(t, a)
		if err := ReplaceLost(ctx, o); err != nil {
			t.Fatal(err)
		}
		b, c := open(t, o), open(t, o)
		mustVerify(t, last, b.Bundle())
		mustVerify(t, issue(t, b), c.Bundle())
		if r := b.Roots(); len(r) != 2 {
			t.Errorf("roots are %v", r)
		}
	})
}

// TestOldBackupAtStart brings the Secret back as it was before a succession while
// nobody runs: the newer root, which proxies have certificates under, stays
// trusted.
func TestOldBackupAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage, told := &safe{}, &shelf{}
		o := Options{Storage: storage, Told: told.read, Log: quiet()}
		a := open(t, o)
		running, end := context.WithCancel(ctx)
		go a.Run(running)      //nolint:errcheck // returns nil
		go a.Maintain(running) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		backup := storage.get()
		if err := a.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		last := issue(t, a)
		told.put(map[string][]byte{"ConfigMap istio-system/fairway-ca-root-cert": a.Bundle()})
		end()
		storage.put(backup)
		b, c := open(t, o), open(t, o)
		go b.Run(ctx)      //nolint:errcheck // returns nil
		go b.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		synctest.Wait()
		told.put(map[string][]byte{"ConfigMap istio-system/fairway-ca-root-cert": b.Bundle()})
		for _, x := range []*Authority{b, c, open(t, o)} {
			mustVerify(t, last, x.Bundle())
			mustVerify(t, issue(t, x), a.Bundle())
		}
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if r := b.Roots(); len(r) != 1 {
			t.Errorf("in the end roots are %v", r)
		}
		cancel()
		synctest.Wait()
	})
}

// TestPluggedInReplacedAtStart plugs another authority in while nobody runs, whose key is
// then the only one that there is. It signs, what proxies trust stays trusted, by
// replicas that come later too, and a line says so.
func TestPluggedInReplacedAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var said bytes.Buffer
		first, second := newCompany(t, ec(t)), newCompany(t, ec(t))
		s, storage, told := &shelf{data: first.istio(t)}, &safe{}, &shelf{}
		o := Options{Storage: storage, PluggedIn: s.read, PluggedInName: "Secret istio-system/cacerts", Told: told.read, Log: slog.New(slog.NewTextHandler(&said, nil))}
		a := open(t, o)
		last := issue(t, a)
		told.put(map[string][]byte{"ConfigMap istio-system/fairway-ca-root-cert": a.Bundle()})
		open(t, o)
		if said.Len() > 0 {
			t.Errorf("all is well, and yet: %s", said.String())
		}
		s.put(second.istio(t))
		b := open(t, o)
		if text := said.String(); !strings.Contains(text, "replaced while no control plane ran") || !strings.Contains(text, fingerprint(second.root)[:16]) || !strings.Contains(text, fingerprint(first.root)[:16]) {
			t.Errorf("it says %q", text)
		}
		go b.Run(ctx)      //nolint:errcheck // returns nil
		go b.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		synctest.Wait()
		told.put(map[string][]byte{"ConfigMap istio-system/fairway-ca-root-cert": b.Bundle()})
		var again bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&again, nil))
		for _, x := range []*Authority{b, open(t, o)} {
			mustVerify(t, last, x.Bundle())
			mustVerify(t, issue(t, x), x.Bundle())
		}
		if strings.Contains(again.String(), "replaced while") {
			t.Errorf("said again: %s", again.String())
		}
		time.Sleep(time.Until(last.NotAfter) - time.Minute)
		synctest.Wait()
		mustVerify(t, last, b.Bundle())
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if r := b.Roots(); len(r) != 1 || r[0].Fingerprint != fingerprint(second.root) {
			t.Errorf("in the end roots are %v", r)
		}
		cancel()
		synctest.Wait()
	})
}

// TestLeavePluggedIn takes what is plugged in away and has a person decide, in a
// process of its own; a replica that starts before the next root signs waits.
func TestLeavePluggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, storage := &shelf{data: newCompany(t, ec(t)).istio(t)}, &safe{}
		o := Options{Storage: storage, PluggedIn: s.read, Log: quiet()}
		a := open(t, o)
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go a.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		s.put(nil)
		time.Sleep(100 * time.Hour)
		old := a.Bundle()
		command, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := command.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		mustVerify(t, issue(t, a), old)
		if _, err := Open(ctx, o); err == nil || !strings.Contains(err.Error(), "signs from") {
			t.Errorf("a replica that starts too early: %v", err)
		}
		last, during := issue(t, a), a.Bundle()
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, x := range []*Authority{a, open(t, o)} {
			mustVerify(t, issue(t, x), during)
			time.Sleep(time.Until(last.NotAfter) - time.Minute)
			synctest.Wait()
			mustVerify(t, last, x.Bundle())
		}
		cancel()
		synctest.Wait()
	})
}
