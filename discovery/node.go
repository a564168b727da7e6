package discovery

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// The oldest Envoy that takes virtual hosts one by one over ADS, and in full
// everything else that is generated.
const (
	oldestMajor = 1
	oldestMinor = 38
)

// maxNodeID is more than the longest names of a pod and its namespace take.
const maxNodeID = 1 << 10

// clientOf reads the node of a first message. The error tells the owner of the
// bootstrap what was expected.
func clientOf(node *corev3.Node, builds *buildTable) (snapshot.Client, error) {
	var c snapshot.Client
	if len(node.GetId()) > maxNodeID {
		return c, fmt.Errorf("the node id is longer than %d bytes", maxNodeID)
	}
	parts := strings.Split(node.GetId(), "~")
	expected := func(what string) error {
		return fmt.Errorf("node id %q: %s; expected ROLE~IP~POD.NAMESPACE~NAMESPACE.svc.DOMAIN, where ROLE is sidecar or router (node.id in the Envoy bootstrap; `fairway bootstrap` prints one)", node.GetId(), what)
	}
	if len(parts) != 4 {
		return c, expected(fmt.Sprintf("it has %d parts between '~', not 4", len(parts)))
	}
	role := snapshot.Role(parts[0])
	if role != snapshot.RoleSidecar && role != snapshot.RoleRouter {
		return c, expected(fmt.Sprintf("unknown role %q", parts[0]))
	}
	if _, err := netip.ParseAddr(parts[1]); err != nil {
		return c, expected(fmt.Sprintf("%q is no IP address", parts[1]))
	}
	// A pod's name may contain dots, a namespace's may not.
	dot := strings.LastIndexByte(parts[2], '.')
	if dot <= 0 || dot == len(parts[2])-1 {
		return c, expected(fmt.Sprintf("%q is not POD.NAMESPACE", parts[2]))
	}
	meta := node.GetMetadata().GetFields()
	c = snapshot.Client{
		NodeID: node.GetId(), Role: role, IP: parts[1],
		Pod: parts[2][:dot], Namespace: parts[2][dot+1:], Domain: parts[3],
		Labels:         stringMap(meta["LABELS"]),
		ServiceAccount: meta["SERVICE_ACCOUNT"].GetStringValue(),
		ClusterID:      meta["CLUSTER_ID"].GetStringValue(),
		NodeName:       meta["NODE_NAME"].GetStringValue(),
		Unprivileged:   meta["UNPRIVILEGED_POD"].GetStringValue() == "true",
		Workload:       meta["WORKLOAD_NAME"].GetStringValue(),
		Fairway:        meta["FAIRWAY_VERSION"].GetStringValue(),
		Locality: snapshot.Locality{
			Region: node.GetLocality().GetRegion(), Zone: node.GetLocality().GetZone(), SubZone: node.GetLocality().GetSubZone(),
		},
		UserAgent: node.GetUserAgentName(),
	}
	if ns := meta["NAMESPACE"].GetStringValue(); ns != "" && ns != c.Namespace {
		return c, expected(fmt.Sprintf("its namespace %q is not the NAMESPACE %q of the metadata", c.Namespace, ns))
	}
	if c.UserAgent == "envoy" {
		v := node.GetUserAgentBuildVersion().GetVersion()
		c.Version = snapshot.Version{Major: v.GetMajorNumber(), Minor: v.GetMinorNumber(), Patch: v.GetPatch()}
		c.Extensions = builds.extensions(c.Version, node.GetExtensions())
	}
	return c, nil
}

func stringMap(v *structpb.Value) map[string]string {
	fields := v.GetStructValue().GetFields()
	if len(fields) == 0 {
		return nil
	}
	m := make(map[string]string, len(fields))
	for k, f := range fields {
		m[k] = f.GetStringValue()
	}
	return m
}

// buildTable shares the lists of extensions, hundreds of names each, among the
// proxies of one build. It is bounded, and keeps those of several proxies longer
// than those of one.
type buildTable struct {
	known *lru.TwoQueueCache[[sha256.Size]byte, map[string]struct{}]
}

const buildTableSize = 64

func newBuildTable() *buildTable {
	cache, err := lru.New2Q[[sha256.Size]byte, map[string]struct{}](buildTableSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &buildTable{cache}
}

func (t *buildTable) extensions(v snapshot.Version, list []*corev3.Extension) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d.%d.%d", v.Major, v.Minor, v.Patch)
	for _, e := range list {
		fmt.Fprintf(sum, "\n%d %s", len(e.GetName()), e.GetName())
	}
	key := [sha256.Size]byte(sum.Sum(nil))
	if known, ok := t.known.Get(key); ok {
		return known
	}
	set := make(map[string]struct{}, len(list))
	for _, e := range list {
		set[e.GetName()] = struct{}{}
	}
	t.known.Add(key, set)
	return set
}
