{{/* What objects of a release are called. StatefulSets and the labels of their pods leave little room. */}}
{{- define "emshop.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* What selects the pods of a part, or all. It never changes. */}}
{{- define "emshop.selector" -}}
app.kubernetes.io/name: emshop
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object that belongs to a part, or to all. */}}
{{- define "emshop.labels" -}}
{{ include "emshop.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}
