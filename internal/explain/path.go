package explain

import (
	"strconv"
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// normalized is the path as the connection manager reads it, before policies and routes
// look at it (MeshConfig.pathNormalization).
func normalized(h *hcmv3.HttpConnectionManager, full string) string {
	path, query := full, ""
	if i := strings.IndexByte(full, '?'); i >= 0 {
		path, query = full[:i], full[i:]
	}
	if h.GetPathWithEscapedSlashesAction() == hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD {
		path = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`).Replace(path)
	}
	if h.GetNormalizePath().GetValue() && strings.HasPrefix(path, "/") {
		path = withoutDots(strings.ReplaceAll(path, `\`, "/"))
	}
	if h.GetMergeSlashes() {
		for strings.Contains(path, "//") {
			path = strings.ReplaceAll(path, "//", "/")
		}
	}
	return path + query
}

// withoutDots resolves "." and ".." as RFC 3986 has it, section 5.2.4.
func withoutDots(path string) string {
	parts := strings.Split(path[1:], "/")
	var out []string
	for i, p := range parts {
		last := i == len(parts)-1
		switch strings.NewReplacer("%2e", ".", "%2E", ".").Replace(p) {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, p)
		}
	}
	return "/" + strings.Join(out, "/")
}
