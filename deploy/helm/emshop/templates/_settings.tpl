{{/* What of the values does not go together. */}}
{{- define "emshop.check" -}}
{{- $_ := required "nats.url is the NATS server that engines and ingresses meet on, such as nats://nats.nats.svc:4222" .Values.nats.url -}}
{{- $_ := required
    "secrets.clusterKey names the Secret with cluster.key, which seals the logs: 64 hexadecimal digits that must never be lost"
    .Values.secrets.clusterKey -}}
{{- $_ := required "secrets.tokenKeys names the Secret with auth.key, which signs tokens" .Values.secrets.tokenKeys -}}
{{- $login := .Values.nats.login -}}
{{- if and (ne $login.kind "none") (not (and $login.engine.secret $login.ingress.secret)) -}}
{{- fail (cat "nats.login.engine.secret and nats.login.ingress.secret name the Secrets with the login of kind"
    $login.kind "(nats.login.kind); or say kind: none") -}}
{{- end -}}
{{- if and (not .Values.ingress.tls.secret) (not .Values.insecure) -}}
{{- fail (cat "others reach the API, and without TLS whoever is on the way can read passwords and tokens:"
    "name a Secret in ingress.tls.secret; or, where a mesh or a proxy has TLS, say insecure: true") -}}
{{- end -}}
{{- if and .Values.ingress.tls.clientCa (not .Values.ingress.tls.secret) -}}
{{- fail "ingress.tls.clientCa goes with ingress.tls.secret, which has ca.crt then" -}}
{{- end -}}
{{- end }}

{{/* Where secrets are in a container, and each in a file. */}}
{{- define "emshop.secrets" -}}/etc/emshop/secrets{{- end }}

{{/* The settings of both roles. */}}
{{- define "emshop.settings.common" -}}
data: /var/lib/emshop
role: {{ .part }}
admin:
  listen: {{ printf "%s:50052" .root.Values.listenAddress | quote }}
nats:
  url: {{ .root.Values.nats.url | quote }}
  {{- $secrets := include "emshop.secrets" . }}
  {{- $login := .root.Values.nats.login }}
  {{- if eq $login.kind "password" }}
  user: {{ (index $login .part).user | quote }}
  password_file: {{ $secrets }}/nats.password
  {{- else if eq $login.kind "nkey" }}
  nkey_file: {{ $secrets }}/nats.nkey
  {{- else if eq $login.kind "credentials" }}
  credentials_file: {{ $secrets }}/nats.creds
  {{- else if eq $login.kind "certificate" }}
  tls_cert: {{ $secrets }}/nats.crt
  tls_key: {{ $secrets }}/nats.key
  {{- end }}
  {{- if .root.Values.nats.caSecret }}
  tls_ca: {{ $secrets }}/nats-ca.crt
  {{- end }}
cluster:
  logs: {{ int .root.Values.logs }}
  key_file: {{ $secrets }}/cluster.key
{{- end }}

{{/* An engine has nothing but its admin port, which nobody but monitoring reaches. */}}
{{- define "emshop.settings.engine" -}}
{{ include "emshop.settings.common" . }}
insecure: true
{{- end }}

{{- define "emshop.settings.ingress" -}}
{{ include "emshop.settings.common" . }}
listen: {{ printf "%s:50051" .root.Values.listenAddress | quote }}
insecure: {{ .root.Values.insecure }}
auth:
  key_file: {{ include "emshop.secrets" . }}/auth.key
{{- with .root.Values.ingress.tls }}
{{- if .secret }}
tls:
  cert: {{ include "emshop.secrets" $ }}/tls.crt
  key: {{ include "emshop.secrets" $ }}/tls.key
  {{- if .clientCa }}
  client_ca: {{ include "emshop.secrets" $ }}/client-ca.crt
  {{- end }}
{{- end }}
{{- end }}
ingress:
  # The cluster takes a while to send nobody here any more.
  leave_delay: 10s
{{- if .root.Values.ingress.sms.secret }}
verification:
  sms: http
  sms_secret_file: {{ include "emshop.secrets" . }}/sms.secret
{{- end }}
{{- if .root.Values.ingress.payment.secret }}
payment:
  webhook_secret_file: {{ include "emshop.secrets" . }}/webhook.secret
{{- end }}
{{- end }}

{{/*
The settings file of a role: what of `config` concerns it, and what the chart has to set, which the schema keeps from there.
*/}}
{{- define "emshop.settings" -}}
{{- $ours := include (printf "emshop.settings.%s" .part) . | fromYaml -}}
{{- $others := dict "engine" (list "ingress" "auth" "rates" "verification" "payment") "ingress" (list "engine" "shop") -}}
{{- $config := deepCopy .root.Values.config -}}
{{- range index $others .part -}}
{{- $config = unset $config . -}}
{{- end -}}
{{- mustMergeOverwrite $ours $config | toYaml -}}
{{- end }}
