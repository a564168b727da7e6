package mesh

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// headlessAt are the headless services behind which the workloads are that say they
// have the address. One of them may serve those who ask for the address itself, unless
// somebody else has it.
func (b *builder) headlessAt(address string) (hosts []string) {
	for _, x := range b.holders[address] {
		for _, s := range b.world.ServicesOf(x) {
			if s.Headless {
				hosts = append(hosts, s.Host)
			}
		}
	}
	listed, _ := b.world.listed.Get(address)
	for _, name := range listed {
		if h := b.world.Host(name); h != nil && slices.ContainsFunc(h.Services, func(s *registry.Service) bool { return s.Headless }) {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

// dirtyHeadless has the headless services at an address marked at the end of the pass, once,
// however many say one after the other that they have it.
func (b *builder) dirtyHeadless(address string) { b.passedOn[address] = struct{}{} }

// noteHeadless takes note of a headless service that came, went or changed, and not of
// endpoints, which are its own.
func (b *builder) noteHeadless(old, next *registry.Host) {
	headless := func(h *registry.Host) *registry.Service {
		if h == nil || !h.Services[0].Kubernetes() || !h.Services[0].Headless {
			return nil
		}
		return h.Services[0]
	}
	was, is := headless(old), headless(next)
	if was == is {
		return
	}
	for _, s := range []*registry.Service{was, is} {
		if s != nil {
			b.headlessIn[s.Namespace] = struct{}{}
		}
	}
}

// settlePassedOn marks the headless services at addresses that others may serve than before.
func (b *builder) settlePassedOn() {
	for address := range b.passedOn {
		for _, host := range b.headlessAt(address) {
			b.dirty.host(host, TouchHost)
		}
	}
	clear(b.passedOn)
}

// settleHeadless marks besides them all headless services of namespaces in which one came,
// went or changed: they may have the same pods, whose addresses belong to one of them.
func (b *builder) settleHeadless() {
	b.settlePassedOn()
	for namespace := range b.headlessIn {
		for _, s := range b.services[namespace] {
			if s.Headless {
				b.dirty.host(s.Host, TouchHost)
			}
		}
	}
	clear(b.headlessIn)
}
