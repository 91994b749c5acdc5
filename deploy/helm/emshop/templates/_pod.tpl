{{/* What pods of both parts have in common; `containers` and their own volumes come below. */}}
{{- define "emshop.pod" -}}
{{- $values := index .root.Values .part -}}
serviceAccountName: {{ include "emshop.fullname" .root }}
automountServiceAccountToken: false
# Addresses of services in the environment are settings of nobody.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int $values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Not at each start: it would take long, and let the group read what only the owner may.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologyKeys }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "emshop.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What containers of both parts have in common. */}}
{{- define "emshop.container" -}}
{{- $values := index .root.Values .part -}}
name: emshop
image: {{ printf "%s:%s" .root.Values.image.repository (coalesce $values.imageTag .root.Values.image.tag .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [serve, --config, /etc/emshop/config/settings.yaml]
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $values.resources | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /var/lib/emshop
  - name: config
    mountPath: /etc/emshop/config
    readOnly: true
  - name: secrets
    mountPath: {{ include "emshop.secrets" . }}
    readOnly: true
{{- end }}

{{/* Settings and secrets. A Secret that changes gets to the files of a running pod, as it would not in the environment. */}}
{{- define "emshop.volumes" -}}
- name: config
  configMap:
    name: {{ include "emshop.fullname" .root }}-{{ .part }}
- name: secrets
  projected:
    # The kubelet gives them to the group of the pod as well, which may read them, too (0440).
    defaultMode: 0400
    sources:
      - secret:
          name: {{ .root.Values.secrets.clusterKey }}
          items: [{key: cluster.key, path: cluster.key}]
      {{- $login := .root.Values.nats.login }}
      {{- if ne $login.kind "none" }}
      - secret:
          name: {{ (index $login .part).secret }}
          {{- if eq $login.kind "password" }}
          items: [{key: password, path: nats.password}]
          {{- else if eq $login.kind "nkey" }}
          items: [{key: nkey, path: nats.nkey}]
          {{- else if eq $login.kind "credentials" }}
          items: [{key: user.creds, path: nats.creds}]
          {{- else }}
          items: [{key: tls.crt, path: nats.crt}, {key: tls.key, path: nats.key}]
          {{- end }}
      {{- end }}
      {{- with .root.Values.nats.caSecret }}
      - secret:
          name: {{ . }}
          items: [{key: ca.crt, path: nats-ca.crt}]
      {{- end }}
      {{- if eq .part "ingress" }}
      - secret:
          name: {{ .root.Values.secrets.tokenKeys }}
          items: [{key: auth.key, path: auth.key}]
      {{- with .root.Values.ingress.tls }}
      {{- if .secret }}
      - secret:
          name: {{ .secret }}
          items:
            - {key: tls.crt, path: tls.crt}
            - {key: tls.key, path: tls.key}
            {{- if .clientCa }}
            - {key: ca.crt, path: client-ca.crt}
            {{- end }}
      {{- end }}
      {{- end }}
      {{- with .root.Values.ingress.sms.secret }}
      - secret:
          name: {{ . }}
          items: [{key: secret, path: sms.secret}]
      {{- end }}
      {{- with .root.Values.ingress.payment.secret }}
      - secret:
          name: {{ . }}
          items: [{key: webhook.secret, path: webhook.secret}]
      {{- end }}
      {{- end }}
{{- end }}

{{/* The kubelet shows no certificate: where clients need one it can but connect. A pod whose port of the API is open serves, or did. */}}
{{- define "emshop.probes" -}}
{{- $tls := and (eq .part "ingress") .root.Values.ingress.tls.secret }}
{{- $scheme := ternary "HTTPS" "HTTP" (not (empty $tls)) }}
{{- $blind := and $tls .root.Values.ingress.tls.clientCa -}}
# The admin port is open before anything else begins. A replay is no part of this: it may take as long as it takes.
startupProbe:
  {{- if $blind }}
  tcpSocket: {port: admin}
  {{- else }}
  httpGet: {path: /livez, port: admin, scheme: {{ $scheme }}}
  {{- end }}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  {{- if $blind }}
  tcpSocket: {port: admin}
  {{- else }}
  httpGet: {path: /livez, port: admin, scheme: {{ $scheme }}}
  {{- end }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{- if $blind }}
  tcpSocket: {port: grpc}
  {{- else }}
  httpGet: {path: /readyz, port: admin, scheme: {{ $scheme }}}
  {{- end }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}
