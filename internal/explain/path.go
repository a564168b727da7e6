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
		path = canonical(withoutDots(strings.ReplaceAll(path, `\`, "/")))
	}
	if h.GetMergeSlashes() {
		for strings.Contains(path, "//") {
			path = strings.ReplaceAll(path, "//", "/")
		}
	}
	return path + query
}

// withoutDots resolves "." and ".." as RFC 3986 has it, section 5.2.4. Envoy does so for
// those with parameters ("..;a"), too.
func withoutDots(path string) string {
	parts := strings.Split(path[1:], "/")
	var out []string
	for i, p := range parts {
		last := i == len(parts)-1
		segment := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(p)
		if name, _, parameters := strings.Cut(p, ";"); parameters && (name == "." || name == "..") {
			segment = name
		}
		switch segment {
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

// canonical writes a path with as few escapes as RFC 3986 has it, section 6.2.2.2: letters,
// digits and "-._~" as they are, and escapes for what may not stand in a path.
func canonical(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) {
			if n, err := strconv.ParseUint(path[i+1:i+3], 16, 8); err == nil && unreserved(byte(n)) {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		if strings.IndexByte("\"<>^`{|}", c) >= 0 {
			out.WriteByte('%')
			out.WriteString(strings.ToUpper(strconv.FormatUint(uint64(c), 16)))
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
