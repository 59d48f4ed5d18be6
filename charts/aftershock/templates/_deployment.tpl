{{/*
A Deployment of one part: (dict "root" $ "part" "operator" "values" .Values.operator "args" (list …) "env" "…yaml…").
Both parts answer /healthz on 8080 and /metrics on 9090; neither writes anywhere but to /var/lib/aftershock and /tmp.
*/}}
{{- define "aftershock.deployment" -}}
{{- $root := .root }}
{{- $selector := include "aftershock.selector" (list $root .part) }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "aftershock.fullname" $root }}-{{ .part }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "aftershock.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
spec:
  replicas: {{ .values.replicas }}
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "aftershock.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .part }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "aftershock.fullname" $root }}-{{ .part }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: 30
      securityContext:
        {{- include "aftershock.podSecurity" $root | nindent 8 }}
      containers:
        - name: {{ .part }}
          image: {{ include "aftershock.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            {{- range .args }}
            - {{ . | quote }}
            {{- end }}
          env:
            - {name: AFTERSHOCK_HOME, value: /var/lib/aftershock}
            - {name: AFTERSHOCK_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          ports:
            - {name: health, containerPort: 8080}
            - {name: metrics, containerPort: 9090}
          startupProbe:
            httpGet: {path: /healthz, port: health}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:  # not only that the process lives: that what it watches and looks at still moves
            httpGet: {path: /healthz, port: health}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /healthz, port: health}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "aftershock.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - {name: state, mountPath: /var/lib/aftershock}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - {name: state, emptyDir: {}}
        - {name: tmp, emptyDir: {}}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      tolerations:
        - {key: aftershock.dev/lease, operator: Exists}  # what evacuates a region must not evacuate who heals it
        {{- with .values.tolerations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if .values.affinity }}
      affinity:
        {{- toYaml .values.affinity | nindent 8 }}
      {{- else }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
      {{- end }}
{{- end }}
