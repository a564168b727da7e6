package telemetry

import (
	"encoding/json"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// The formats that people's log pipelines read where the mesh configuration
// gives none, field by field as Istio has them.
const textFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ` +
	`"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ` +
	`"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" ` +
	`%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ` +
	`%REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"

var jsonFormat = map[string]string{
	"start_time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "protocol": "%PROTOCOL%",
	"response_code": "%RESPONSE_CODE%", "response_flags": "%RESPONSE_FLAGS%", "response_code_details": "%RESPONSE_CODE_DETAILS%",
	"connection_termination_details":    "%CONNECTION_TERMINATION_DETAILS%",
	"upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"bytes_received":                    "%BYTES_RECEIVED%", "bytes_sent": "%BYTES_SENT%", "duration": "%DURATION%",
	"upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
	"user_agent": "%REQ(USER-AGENT)%", "request_id": "%REQ(X-REQUEST-ID)%", "authority": "%REQ(:AUTHORITY)%",
	"upstream_host": "%UPSTREAM_HOST%", "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%", "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
	"downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%", "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
	"requested_server_name": "%REQUESTED_SERVER_NAME%", "route_name": "%ROUTE_NAME%",
}

// Where containers log to.
const (
	standardOutput = "/dev/stdout"
	standardError  = "/dev/stderr"
)

// logFile is the file that a provider writes; false when it writes none.
func (r Report) logFile(provider string) (proto.Message, bool) {
	if provider == meshLog {
		path := r.config.GetAccessLogFile()
		return r.meshLogFile(path), path != ""
	}
	for _, p := range r.config.GetExtensionProviders() {
		f := p.GetEnvoyFileAccessLog()
		if p.GetName() != provider || f == nil {
			continue
		}
		path := f.GetPath()
		if path == "" {
			path = standardOutput
		}
		format := r.meshFormat()
		switch l := f.GetLogFormat().GetLogFormat().(type) {
		case *meshconfig.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Text:
			if l.Text != "" && plausibleFormat(l.Text) {
				format = textLog(l.Text)
			}
		case *meshconfig.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Labels:
			format = jsonLog(plausibleLabels(l.Labels))
		}
		format.OmitEmptyValues = f.GetOmitEmptyValues()
		return fileLog(path, format), true
	}
	if provider == envoyProvider {
		return r.meshLogFile(standardOutput), true
	}
	return nil, false
}

func (r Report) meshLogFile(path string) proto.Message { return fileLog(path, r.meshFormat()) }

// fileLog writes to a file. The standard streams are not opened as files: a
// proxy that is not root may often not do that.
func fileLog(path string, format *corev3.SubstitutionFormatString) proto.Message {
	switch path {
	case standardOutput:
		return &streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: format}}
	case standardError:
		return &streamv3.StderrAccessLog{AccessLogFormat: &streamv3.StderrAccessLog_LogFormat{LogFormat: format}}
	}
	return &filev3.FileAccessLog{Path: path, AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: format}}
}

// meshFormat applies MeshConfig.accessLogFormat and accessLogEncoding. A format
// that Envoy would refuse counts as none.
func (r Report) meshFormat() *corev3.SubstitutionFormatString {
	text := r.config.GetAccessLogFormat()
	if r.config.GetAccessLogEncoding() == meshconfig.MeshConfig_JSON {
		if text != "" {
			if s := new(structpb.Struct); json.Unmarshal([]byte(text), s) == nil && plausibleFormat(text) {
				return jsonLog(s)
			}
		}
		labels := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for k, v := range jsonFormat {
			labels.Fields[k] = structpb.NewStringValue(v)
		}
		return jsonLog(labels)
	}
	if text == "" || !plausibleFormat(text) {
		text = textFormat
	}
	return textLog(text)
}

func textLog(format string) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: format}},
	}}
}

func jsonLog(labels *structpb.Struct) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: labels}}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// plausibleLabels leaves out what Envoy would refuse.
func plausibleLabels(s *structpb.Struct) *structpb.Struct {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for k, v := range s.GetFields() {
		if text, ok := v.GetKind().(*structpb.Value_StringValue); ok && !plausibleFormat(text.StringValue) {
			continue
		}
		out.Fields[k] = v
	}
	return out
}
