package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// pool are the addresses that Services of type LoadBalancer get. This machine has
// a route for them to a node, where kube-proxy leads them on. The route goes with
// the device that it leads over.
type pool struct{ network netip.Prefix }

// newPool is for the cluster with a node at the address: 10.201.7.1 has
// 10.204.7.0/24, so that clusters do not meet.
func newPool(node string) (pool, error) {
	at, err := netip.ParseAddr(node)
	if err != nil || !at.Is4() {
		return pool{}, fmt.Errorf("the node's address %q is not one of IPv4", node)
	}
	p := pool{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 204, at.As4()[2], 0}), 24)}
	_, network, err := net.ParseCIDR(p.network.String())
	if err != nil {
		return pool{}, err
	}
	err = netlink.RouteReplace(&netlink.Route{Dst: network, Gw: at.AsSlice()})
	if err != nil && !errors.Is(err, os.ErrExist) {
		return pool{}, fmt.Errorf("making a route to %v by %s: %w", p.network, node, err)
	}
	return p, nil
}

// fixed is an address that no Service gets that does not ask for it, and outside is
// none of the pool.
func (p pool) fixed() string {
	return netip.AddrFrom4([4]byte{10, 204, p.network.Addr().As4()[2], 250}).String()
}

const outside = "192.0.2.1"

func (p pool) has(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && p.network.Contains(a)
}

// give gives each Service of type LoadBalancer that has no address one that no
// other has, or the one that it asks for if that is of the pool.
func (p pool) give(ctx context.Context, client kubernetes.Interface) error {
	list, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	var waiting []*corev1.Service
	for i := range list.Items {
		s := &list.Items[i]
		for _, in := range s.Status.LoadBalancer.Ingress {
			taken[in.IP] = true
		}
		asked := s.Spec.LoadBalancerIP //nolint:staticcheck // what Gateways with spec.addresses become
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0 && (asked == "" || p.has(asked)) {
			waiting = append(waiting, s)
		}
	}
	free := p.network.Addr().Next()
	for _, s := range waiting {
		address := s.Spec.LoadBalancerIP //nolint:staticcheck // as above
		if address == "" {
			for taken[free.String()] {
				free = free.Next()
			}
			if address = free.String(); address == p.fixed() {
				return fmt.Errorf("all addresses of %v are taken", p.network)
			}
		}
		taken[address] = true
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
		if _, err := client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("giving Service %s/%s an address: %w", s.Namespace, s.Name, err)
		}
	}
	return nil
}
