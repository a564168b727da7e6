package telemetry

// The labels that say which canonical service a workload is of, and which of
// its revisions, the first that is there.
var (
	canonicalNames     = []string{"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}
	canonicalRevisions = []string{"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}
)

// nodeText is an expression for a text in the metadata of the proxy's node.
func nodeText(key string) string {
	return "('" + key + "' in xds.node.metadata ? xds.node.metadata['" + key + "'] : 'unknown')"
}

func ofNode(key string) string { return "%CEL" + nodeText(key) + "%" }

// ofLabels is the first of the labels that the node tells of its pod.
func ofLabels(otherwise string, labels ...string) string {
	expr := otherwise
	for i := len(labels) - 1; i >= 0; i-- {
		expr = "('" + labels[i] + "' in xds.node.metadata['LABELS'] ? xds.node.metadata['LABELS']['" + labels[i] + "'] : " + expr + ")"
	}
	return "%CEL('LABELS' in xds.node.metadata ? " + expr + " : " + otherwise + ")%"
}
