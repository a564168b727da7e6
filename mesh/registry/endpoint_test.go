package registry

import (
	"fmt"
	"testing"
)

// TestManyAccounts: each cluster says the accounts of its endpoints again, so when they are
// too many it says their namespace instead.
func TestManyAccounts(t *testing.T) {
	of := func(n int) *EndpointSet {
		var list []Endpoint
		for i := range n {
			list = append(list, Endpoint{Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Workload: &Workload{Namespace: "shop", ServiceAccount: fmt.Sprintf("account-%05d", i), MutualTLS: true}})
		}
		return NewEndpointSet(list)
	}
	if ids := of(2).Identities; ids != "ns/shop/sa/account-00000,ns/shop/sa/account-00001" {
		t.Errorf("of two accounts: %s", ids)
	}
	if ids := of(1000).Identities; ids != "ns/shop/sa/*" {
		t.Errorf("of 1,000 accounts: %d bytes, %.60s", len(ids), ids)
	}
}
