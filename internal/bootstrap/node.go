package bootstrap

import "maps"

// node says who the proxy is, in the words of Istio's node ids. The control
// plane believes none of it where a token proves the pod.
func node(c Config) object {
	metadata := object{
		"NAME":          c.Pod,
		"NAMESPACE":     c.Namespace,
		"WORKLOAD_NAME": c.Workload,
		"CLUSTER_ID":    c.ClusterID,
		"INSTANCE_IPS":  c.IPs,
	}
	if c.ServiceAccount != "" {
		metadata["SERVICE_ACCOUNT"] = c.ServiceAccount
	}
	if c.Version != "" {
		metadata[MetadataVersion] = c.Version
	}
	if len(c.Labels) > 0 {
		labels := object{}
		for k, v := range c.Labels {
			labels[k] = v
		}
		metadata["LABELS"] = labels
	}
	if c.Role == Sidecar {
		metadata["INTERCEPTION_MODE"] = "REDIRECT"
	}
	maps.Copy(metadata, c.Metadata)
	return object{
		"id":       string(c.Role) + "~" + c.IP + "~" + c.Pod + "." + c.Namespace + "~" + c.Namespace + ".svc." + c.ClusterDomain,
		"cluster":  c.Workload + "." + c.Namespace,
		"metadata": metadata,
	}
}
