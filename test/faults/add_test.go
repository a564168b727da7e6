package faults

import "testing"

// TestAddedFaults has faults come and go beside others: those that stay are there again.
func TestAddedFaults(t *testing.T) {
	p := &Proxy{changed: make(chan struct{}), counts: map[request]int{}}
	status := func(want int) {
		t.Helper()
		if f, _ := p.fault(request{verb: List, resource: "pods"}); f.Status != want {
			t.Errorf("status %d, want %d", f.Status, want)
		}
	}
	p.Set(Fault{Status: 400})
	first := p.Add(Fault{Status: 401})
	second := p.Add(Fault{Status: 402}, Fault{Status: 403})
	status(402)
	other := p.Add(Fault{Resource: "services", Status: 404})
	status(402)
	p.Set()
	status(402)
	second()
	status(401)
	first()
	status(0)
	other()
	if len(p.added) > 0 {
		t.Errorf("%d are left", len(p.added))
	}
}
