package traffic

import (
	"regexp"
	"slices"
	"strings"
)

// Header values may hold commands of Envoy's substitution formatter, as in
// %REQ(x-id)%. Envoy refuses the whole configuration for one that it does not
// know, or for a percent sign that begins none; this is what 1.38 and 1.40 take.

var formatCommand = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%`)

// plainCommands take neither arguments nor a length.
var plainCommands = strings.Fields(`
ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CONNECTION_ID CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS DURATION
DOWNSTREAM_DIRECT_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_LOCAL_PORT
DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT
DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS
DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN
DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_END
DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1
DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT
DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT DOWNSTREAM_TLS_CIPHER
DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED
DOWNSTREAM_WIRE_BYTES_SENT EMIT_TIME FILTER_CHAIN_NAME GRPC_STATUS GRPC_STATUS_NUMBER HOSTNAME LOCAL_REPLY_BODY PATH PROTOCOL
QUERY_PARAMS REQUESTED_SERVER_NAME REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_CODE_DETAILS
RESPONSE_DURATION RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION
ROUNDTRIP_DURATION ROUTE_NAME SPAN_ID START_TIME START_TIME_LOCAL STREAM_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID UNIQUE_ID
UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST
UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_DNS_SAN
UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_END
UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN
UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT
UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED
UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME`)

// argument says what a command takes in parentheses, and whether a length
// after them.
type argument struct {
	pattern *regexp.Regexp
	length  bool
}

var (
	headerArgument = argument{regexp.MustCompile(`^:?[A-Za-z0-9_.-]+(\?:?[A-Za-z0-9_.-]+)?$`), true}
	timeArgument   = argument{regexp.MustCompile(`^[^\r\n\x00]*$`), false}
	keyArgument    = regexp.MustCompile(`^[^:\r\n\x00]+(:[^:\r\n\x00]+)*$`)
)

// argumentCommands take arguments.
var argumentCommands = map[string]argument{
	"REQ": headerArgument, "RESP": headerArgument, "TRAILER": headerArgument,
	"START_TIME": timeArgument, "START_TIME_LOCAL": timeArgument, "EMIT_TIME": timeArgument,
	"DOWNSTREAM_PEER_CERT_V_START": timeArgument, "DOWNSTREAM_PEER_CERT_V_END": timeArgument,
	"UPSTREAM_PEER_CERT_V_START": timeArgument, "UPSTREAM_PEER_CERT_V_END": timeArgument,
	"DYNAMIC_METADATA": {keyArgument, true}, "CLUSTER_METADATA": {keyArgument, false}, "UPSTREAM_METADATA": {keyArgument, false},
	"METADATA":     {regexp.MustCompile(`^(DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST)(:[^:\r\n\x00]+)+$`), false},
	"FILTER_STATE": {regexp.MustCompile(`^[^:\r\n\x00]+(:PLAIN|:TYPED|:FIELD:[^:\r\n\x00]+)?$`), true},
	"QUERY_PARAM":  {regexp.MustCompile(`^[^\r\n\x00]+$`), true}, "ENVIRONMENT": {regexp.MustCompile(`^[A-Za-z0-9_]+$`), true},
	"PER_REQUEST_STATE": {keyArgument, false}, "GRPC_STATUS": {regexp.MustCompile(`^(CAMEL_STRING|SNAKE_STRING|NUMBER)$`), false},
	"PATH":                  {regexp.MustCompile(`^(WQ|NQ)(:(ORIG|PATH|ORIG_OR_PATH))?$`), false},
	"QUERY_PARAMS":          {regexp.MustCompile(`^(ORIG|DECODED)$`), false},
	"RESPONSE_CODE_DETAILS": {regexp.MustCompile(`^ALLOW_WHITESPACES$`), false},
	"COMMON_DURATION":       {regexp.MustCompile(`^[A-Z_]+:[A-Z_]+:(ms|us|ns)$`), false},
}

// knownCommand tells whether Envoy takes a command, read by formatCommand.
func knownCommand(m []string) bool {
	name, args, length := m[1], m[2], m[3]
	hasArgs := strings.HasPrefix(m[0][1+len(name):], "(")
	if !hasArgs {
		return length == "" && slices.Contains(plainCommands, name)
	}
	a, ok := argumentCommands[name]
	return ok && a.pattern.MatchString(args) && (length == "" || a.length && len(length) < 6)
}

// EscapeHeaderFormat writes a header value so that Envoy takes each "%" that
// begins no command it knows as it stands; "%%" is one already.
func EscapeHeaderFormat(value string) string {
	out, _ := scanFormat(value)
	return out
}

// unknownCommands are those parts of a header value that look like commands
// and are none.
func unknownCommands(value string) []string {
	_, unknown := scanFormat(value)
	return unknown
}

func scanFormat(value string) (escaped string, unknown []string) {
	if !strings.Contains(value, "%") {
		return value, nil
	}
	var b strings.Builder
	for i := 0; i < len(value); {
		rest := value[i:]
		m := formatCommand.FindStringSubmatch(rest)
		switch {
		case rest[0] != '%':
			b.WriteByte(rest[0])
			i++
		case strings.HasPrefix(rest, "%%"):
			b.WriteString("%%")
			i += 2
		case m != nil && knownCommand(m):
			b.WriteString(m[0])
			i += len(m[0])
		case m != nil:
			unknown = append(unknown, m[0])
			b.WriteString(strings.ReplaceAll(m[0], "%", "%%"))
			i += len(m[0])
		default:
			b.WriteString("%%")
			i++
		}
	}
	return b.String(), unknown
}
