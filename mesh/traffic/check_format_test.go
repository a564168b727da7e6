package traffic

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

func TestEscapeHeaderFormat(t *testing.T) {
	for _, c := range []struct{ in, out, unknown string }{
		{"plain", "plain", ""},
		{"100% sure", "100%% sure", ""},
		{"100%% sure", "100%% sure", ""},
		{"%", "%%", ""},
		{"a%b%c", "a%%b%%c", ""},
		{"%REQ(x-a?:path):12%", "%REQ(x-a?:path):12%", ""},
		{"%START_TIME(%s.%3f)%", "%START_TIME(%s.%3f)%", ""},
		{"%HOSTNAME%%PROTOCOL%", "%HOSTNAME%%PROTOCOL%", ""},
		{"%NOPE%", "%%NOPE%%", "%NOPE%"},
		{"%REQ()% %HOSTNAME:3%", "%%REQ()%% %%HOSTNAME:3%%", "%REQ()% %HOSTNAME:3%"},
		{"%NOPE(%s)%", "%%NOPE(%%s)%%", "%NOPE(%s)%"},
		{"%lower%", "%%lower%%", ""},
	} {
		if got := EscapeHeaderFormat(c.in); got != c.out {
			t.Errorf("%q became %q, not %q", c.in, got, c.out)
		}
		if got := strings.Join(unknownCommands(c.in), " "); got != c.unknown {
			t.Errorf("in %q the unknown commands are %q, not %q", c.in, got, c.unknown)
		}
	}
}

func FuzzEscapeHeaderFormat(f *testing.F) {
	f.Add("100% %REQ(x)%")
	f.Fuzz(func(t *testing.T, value string) {
		once := EscapeHeaderFormat(value)
		if unknown := unknownCommands(once); len(unknown) > 0 {
			t.Errorf("%q was escaped to %q, in which %q is left", value, once, unknown)
		}
		if twice := EscapeHeaderFormat(once); twice != once {
			t.Errorf("%q, escaped already, became %q", once, twice)
		}
	})
}

// TestEnvoyTakesFormats lets a stock Envoy check every command that is let
// through, and texts that are escaped.
func TestEnvoyTakesFormats(t *testing.T) {
	values := []string{"100% sure", "%", "%%%", "a%b%c", "%NOPE%", "%REQ()%", "%REQ(a:b)%", "%REQ(x):123456789%", "%METADATA(X:y)%", "%CEL(1+)%", "%DURATION:3%", "%%REQ(x)%%"}
	for _, c := range plainCommands {
		values = append(values, "%"+c+"%")
	}
	arguments := map[string][]string{
		"REQ": {"x", "x?y", ":path"}, "RESP": {"x"}, "TRAILER": {"x_y.z"}, "METADATA": {"ROUTE:a", "UPSTREAM_HOST:a:b"}, "FILTER_STATE": {"a", "a:PLAIN", "a:FIELD:b"},
		"ENVIRONMENT": {"HOME"}, "GRPC_STATUS": {"NUMBER"}, "PATH": {"WQ", "NQ:ORIG_OR_PATH"}, "QUERY_PARAMS": {"ORIG", "DECODED"},
		"RESPONSE_CODE_DETAILS": {"ALLOW_WHITESPACES"}, "COMMON_DURATION": {"DS_RX_BEG:DS_RX_END:ms", "DS_RX_BEG:DS_RX_END:ns"},
	}
	for _, c := range slices.Sorted(maps.Keys(argumentCommands)) {
		for _, a := range append([]string{"a"}, arguments[c]...) {
			values = append(values, "%"+c+"("+a+")%", "%"+c+"("+a+"):7%")
		}
	}
	var headers []any
	for _, v := range values {
		headers = append(headers, map[string]any{"header": map[string]string{"key": "x-test", "value": EscapeHeaderFormat(v)}})
	}
	if out, err := validateHeaders(t, headers); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func validateHeaders(t *testing.T, headers []any) ([]byte, error) {
	t.Helper()
	type object = map[string]any
	type list = []any
	const api = "type.googleapis.com/envoy.extensions.filters."
	config, err := json.Marshal(object{"static_resources": object{"listeners": list{object{
		"name": "test", "address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
		"filter_chains": list{object{"filters": list{object{"name": "hcm", "typed_config": object{
			"@type": api + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "test",
			"http_filters": list{object{"name": "router", "typed_config": object{"@type": api + "http.router.v3.Router"}}},
			"route_config": object{"virtual_hosts": list{object{"name": "test", "domains": list{"*"}, "routes": list{object{
				"match": object{"prefix": "/"}, "direct_response": object{"status": 200}, "request_headers_to_add": headers,
			}}}}},
		}}}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), envoytest.Path(t), "--mode", "validate", "-l", "error", "-c", file).CombinedOutput()
}
