{{/* Names and labels, the same everywhere. A part is `operator`, `reaper`, `executor` or `hook`. */}}
{{- define "aftershock.name" -}}
{{- .Chart.Name -}}
{{- end }}

{{/* The release's name tells two releases apart; `helm install aftershock` makes no aftershock-aftershock of it. */}}
{{- define "aftershock.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "aftershock.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: {{ include "aftershock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: aftershock
{{- end }}

{{/* Call with (list $ "operator"). */}}
{{- define "aftershock.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "aftershock.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "aftershock.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The watched namespaces, as a JSON object with the list in `names`. */}}
{{- define "aftershock.namespaces" -}}
{{ dict "names" (.Values.watchNamespaces | default (list .Release.Namespace) | uniq) | toJson }}
{{- end }}

{{- define "aftershock.executor" -}}
{{ .Values.executor.serviceAccount }}
{{- end }}

{{- define "aftershock.claim" -}}
{{ .Values.journals.pvc.existingClaim | default (printf "%s-journals" (include "aftershock.fullname" .)) }}
{{- end }}

{{/* The restricted profile of Pod Security, for pods and containers alike. */}}
{{- define "aftershock.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "aftershock.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The labels by which executors' pods are known; the operator puts them on its Jobs. */}}
{{- define "aftershock.executorSelector" -}}
app.kubernetes.io/name: aftershock
app.kubernetes.io/component: executor
{{- end }}

{{/* The labels by which the pods of a load are known; executors put them on theirs. */}}
{{- define "aftershock.loadSelector" -}}
app.kubernetes.io/name: aftershock
app.kubernetes.io/component: load
{{- end }}

{{/* The labels by which Toxiproxies in front of Services are known; executors put them on theirs. */}}
{{- define "aftershock.toxiproxySelector" -}}
app.kubernetes.io/name: toxiproxy
app.kubernetes.io/part-of: aftershock
{{- end }}

{{/* Who may connect to operator and reaper. */}}
{{- define "aftershock.scraping" -}}
- ports: [{port: health, protocol: TCP}]
- ports: [{port: metrics, protocol: TCP}]
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What everybody has to reach: names, and the API server. */}}
{{- define "aftershock.asking" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
