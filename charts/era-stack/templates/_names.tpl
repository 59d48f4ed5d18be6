{{/* What the era's stack is made of: its file, and over it whatever was given with `-f` or `--set`. */}}
{{- define "stack.values" -}}
{{- $file := printf "values-%s.yaml" .Values.era -}}
{{- $text := .Files.Get $file -}}
{{- if and (not $text) (not .Values.databases) -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "values-*.yaml" }}{{ $known = append $known ($path | trimPrefix "values-" | trimSuffix ".yaml") }}{{ end -}}
{{- fail (printf "there is no stack for era %q: choose one of %s with --set era=…, or give a file of your own with -f" .Values.era (join ", " $known)) -}}
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

{{/* Those that follow a primary, or take over what is written there. Call with (list $values "primary"). */}}
{{- define "stack.followed" -}}
{{- $name := index . 1 -}}
{{- range (index . 0).databases }}{{ if or (eq (.of | default "") $name) (eq (.merges | default "") $name) (and (eq .name $name) .failover) }}{{ .name }} {{ end }}{{ end -}}
{{- end }}

{{/* The primaries that take over from each other, each with its number, as JSON. Call with $values. */}}
{{- define "stack.merging" -}}
{{- $names := list -}}
{{- range .databases }}{{ if .merges }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- $numbers := dict -}}
{{- range $number, $name := $names | sortAlpha }}{{ $_ := set $numbers $name (toString $number) }}{{ end -}}
{{ $numbers | toJson }}
{{- end }}

{{/* The database that a link leads to, as JSON. Call with (list $values "app-to-primary"). */}}
{{- define "stack.database" -}}
{{- $values := index . 0 -}}
{{- $link := index . 1 -}}
{{- $found := dict -}}
{{- range $wire := $values.links }}{{ if eq .name $link }}
{{- range $values.databases }}{{ if eq .name $wire.to }}{{ $found = . }}{{ end }}{{ end -}}
{{- end }}{{ end -}}
{{ $found | toJson }}
{{- end }}

{{/* Whose writes a service has its database take over: that of the same region does. Call with (list $values $service). */}}
{{- define "stack.peer" -}}
{{- $service := index . 1 -}}
{{- with include "stack.database" (list (index . 0) $service.database) | fromJson }}
{{- if and .merges (eq (.region | default "") ($service.region | default "")) }}{{ .merges }}{{ end -}}
{{- end -}}
{{- end }}

{{/* By what name one part reaches another: that of the link between them. Call with (list $values "db" "db-a"). */}}
{{- define "stack.way" -}}
{{- $from := index . 1 -}}
{{- $to := index . 2 -}}
{{- $way := $to -}}
{{- range (index . 0).links }}{{ if and (eq .from $from) (eq .to $to) }}{{ $way = .name }}{{ end }}{{ end -}}
{{ $way }}
{{- end }}

{{/* The servers of databases that fail over, as parts: {members: [{name, region}]}, as JSON. Call with $values. */}}
{{- define "stack.members" -}}
{{- $members := list -}}
{{- range $database := .databases }}{{ range ($database.failover | default dict).members }}
{{- $members = append $members (dict "name" . "region" $database.region) }}
{{- end }}{{ end -}}
{{ dict "members" $members | toJson }}
{{- end }}

{{/* The region that a part is in: its own, or the one that the chart was told. Call with (list $ .), the second being the part. */}}
{{- define "stack.region" -}}
{{ (index . 1).region | default (index . 0).Values.region }}
{{- end }}

{{/* The region that a link leads into. Call with (list $values "client-to-us-east"). */}}
{{- define "stack.into" -}}
{{- $values := index . 0 -}}
{{- $name := index . 1 -}}
{{- $to := "" -}}
{{- range $values.links }}{{ if eq .name $name }}{{ $to = .to }}{{ end }}{{ end -}}
{{- range concat $values.gateways $values.services $values.caches }}{{ if eq .name $to }}{{ .region }}{{ end }}{{ end -}}
{{- end }}

{{/* The port at which a part is reached. Call with (list $values "primary"). */}}
{{- define "stack.port" -}}
{{- $name := index . 1 -}}
{{- $port := 80 -}}
{{- range (index . 0).databases }}{{ if eq .name $name }}{{ $port = 5432 }}{{ end }}{{ end -}}
{{- range (index . 0).databases }}{{ range (.failover | default dict).members }}{{ if eq . $name }}{{ $port = 5432 }}{{ end }}{{ end }}{{ end -}}
{{- range (index . 0).caches }}{{ if eq .name $name }}{{ $port = 6379 }}{{ end }}{{ end -}}
{{- range (index . 0).stores }}{{ if eq .name $name }}{{ $port = 2379 }}{{ end }}{{ end -}}
{{ $port }}
{{- end }}

{{/* How it is reached from another namespace too. */}}
{{- define "stack.host" -}}
{{ include "stack.part" . }}.{{ (index . 0).Release.Namespace }}.svc
{{- end }}

{{/* An indicator's URL, in which a link's name stands for its host. The name that DNS answers stays: call with (list $ url zone). */}}
{{- define "stack.url" -}}
{{- $zone := index . 2 -}}
{{- $host := regexFind "^https?://[^/?#:]+" (index . 1) | splitList "/" | last -}}
{{- if and $zone (eq $host $zone) -}}{{ index . 1 }}{{- else -}}
{{ regexReplaceAll "^(https?://)([^/?#:]+)" (index . 1) (printf "${1}%s-${2}.%s.svc" (include "stack.name" (index . 0)) (index . 0).Release.Namespace) }}
{{- end }}
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

{{/* What all pods have in common. Call with (list $ .), the second being the part. */}}
{{- define "stack.pod" -}}
{{- $region := include "stack.region" . -}}
{{- with index . 0 -}}
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
{{- $nodes := index .Values.regionNodes $region -}}
{{- if and $region (eq $region .Values.region) (not $nodes) -}}
{{- $nodes = dict "topology.kubernetes.io/region" $region -}}
{{- end -}}
{{- with $nodes }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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

{{/* The rest of a StatefulSet whose volume `data` lasts where the chart was told so. */}}
{{- define "stack.kept" }}
      {{- if not .Values.storage.size }}
      - name: data
        emptyDir: {}
      {{- else }}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .Values.storage.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ .Values.storage.size }}}}
      {{- end }}
{{- end }}
