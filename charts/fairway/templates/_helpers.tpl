{{/* The names are fixed: certificates, injected pods and people's tools hold them. */}}

{{- define "fairway.image" -}}
{{ .Values.image | default (printf "ghcr.io/fairway-mesh/fairway:%s" .Chart.AppVersion) }}
{{- end }}

{{/* Name of what is not in a namespace. */}}
{{- define "fairway.clusterName" -}}
fairway-{{ .Release.Namespace }}
{{- end }}

{{- define "fairway.labels" -}}
{{ include "fairway.selector" . }}
app.kubernetes.io/name: fairway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: fairway
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "fairway.selector" -}}
app: fairway
{{- end }}

{{/* One pod on each node and in each zone as far as possible; the argument is
the selector. Each revision of a Deployment is spread by itself. */}}
{{- define "fairway.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {{ $ | toJson }}}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* What the Pod Security Standard "restricted" asks of a container. */}}
{{- define "fairway.restricted" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The sources of the volume by which a proxy knows the control plane and is known by it. */}}
{{- define "fairway.credentials" -}}
- serviceAccountToken: {audience: fairway, expirationSeconds: 43200, path: token}
- configMap: {name: fairway-ca-root-cert}
{{- end }}
