{{/* What the era's stack is made of: its file, and over it whatever was given with `-f` or `--set`. */}}
{{- define "stack.values" -}}
{{- $file := printf "values-%s.yaml" .Values.era -}}
{{- $text := .Files.Get $file -}}
{{- if and (not $text) (not .Values.databases) -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "values-*.yaml" }}{{ $known = append $known ($path | trimPrefix "values-" | trimSuffix ".yaml") }}{{ end -}}
{{- fail (printf "there is no stack for era %q: choose one of %s with --set era=…, or give a file of your own with -f" .Values.era (join ", " $known)) -}}
{{- end -}}
{{- if (fromYaml $text).regions -}}
{{- fail (printf "the stack of era %s has several regions, and there are no pods of it yet: `aftershock stack up %s` makes processes of it" .Values.era .Values.era) -}}
{{- end -}}
{{- mergeOverwrite (fromYaml $text) (deepCopy .Values) | toJson -}}
{{- end }}

{{- define "stack.name" -}}
{{ .Values.stack.name | default (printf "meetings-%s" .Values.era) }}
{{- end }}

{{/* The name of a part or a link: call with (list $ "primary"). */}}
{{- define "stack.part" -}}
{{ printf "%s-%s" (include "stack.name" (index . 0)) (index . 1) }}
{{- end }}

{{/* The name of the primary that a database follows: its own, if it is one. Call with (list $values "replica"). */}}
{{- define "stack.primary" -}}
{{- $name := index . 1 -}}
{{- range (index . 0).databases }}{{ if eq .name $name }}{{ .of | default .name }}{{ end }}{{ end -}}
{{- end }}

{{/* The replicas of a primary, if it has any. Call with (list $values "primary"). */}}
{{- define "stack.replicas" -}}
{{- $name := index . 1 -}}
{{- range (index . 0).databases }}{{ if eq (.of | default "") $name }}{{ .name }} {{ end }}{{ end -}}
{{- end }}

{{/* The port at which a part is reached. Call with (list $values "primary"). */}}
{{- define "stack.port" -}}
{{- $name := index . 1 -}}
{{- $port := 80 -}}
{{- range (index . 0).databases }}{{ if eq .name $name }}{{ $port = 5432 }}{{ end }}{{ end -}}
{{- range (index . 0).caches }}{{ if eq .name $name }}{{ $port = 6379 }}{{ end }}{{ end -}}
{{ $port }}
{{- end }}

{{/* How it is reached from another namespace too. */}}
{{- define "stack.host" -}}
{{ include "stack.part" . }}.{{ (index . 0).Release.Namespace }}.svc
{{- end }}

{{/* An indicator's URL, in which a link's name stands for its host: call with (list $ url). */}}
{{- define "stack.url" -}}
{{ regexReplaceAll "^(https?://)([^/?#:]+)" (index . 1) (printf "${1}%s-${2}.%s.svc" (include "stack.name" (index . 0)) (index . 0).Release.Namespace) }}
{{- end }}

{{- define "stack.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "stack.name" . }}
{{- end }}

{{/* Which pods are a part: call with (list $ "app"). */}}
{{- define "stack.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ include "stack.name" (index . 0) }}
{{- end }}

{{/* A pod's labels and annotations; the sum makes it new when what it reads has changed. Call with (list $ "app" text). */}}
{{- define "stack.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "stack.labels" $root | nindent 2 }}
  {{- include "stack.selector" . | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ index . 2 | sha256sum }}
  {{- with $root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What all pods have in common. */}}
{{- define "stack.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.region }}
nodeSelector:
  topology.kubernetes.io/region: {{ . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all containers have in common. */}}
{{- define "stack.container" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
