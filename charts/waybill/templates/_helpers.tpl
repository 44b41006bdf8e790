{{/*
What every template shares. A helper takes its arguments as one list, the root context first.
Names come from the component's literal, never from .Chart.Name, which an alias changes.
*/}}

{{/* name: (list $ COMPONENT) → <release>-<component> */}}
{{- define "waybill.name" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s" $root.Release.Name (index . 1) -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the name %s has %d characters, and 52 is the most: choose a shorter release or model name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "waybill.selectorLabels" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* labels: (list $ COMPONENT); all engines have the name vllm and all imports import, as NetworkPolicies select them by it */}}
{{- define "waybill.labels" -}}
{{- $root := index . 0 -}}
{{ include "waybill.selectorLabels" . }}
app.kubernetes.io/name: {{ regexReplaceAll "^(vllm|import)-.*" (index . 1) "${1}" }}
app.kubernetes.io/part-of: waybill
app.kubernetes.io/version: {{ $root.Chart.AppVersion | default $root.Chart.Version | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata: (list $ COMPONENT [NAME]) → name, labels and annotations of an object */}}
{{- define "waybill.metadata" -}}
{{- $root := index . 0 -}}
name: {{ if gt (len .) 2 }}{{ include "waybill.name" (list $root (index . 2)) }}{{ else }}{{ include "waybill.name" . }}{{ end }}
labels:
  {{- include "waybill.labels" . | nindent 2 }}
{{- with $root.Values.global.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* metadataWith: (list $ COMPONENT LABELS ANNOTATIONS) → metadata with more of both */}}
{{- define "waybill.metadataWith" -}}
name: {{ include "waybill.name" . }}
labels:
  {{- include "waybill.labels" . | nindent 2 }}
  {{- with index . 2 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (index . 3) (index . 0).Values.global.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* podLabels: (list $ COMPONENT VALUES); without the version, which would restart every pod with it */}}
{{- define "waybill.podLabels" -}}
{{- $labels := omit (include "waybill.labels" . | fromYaml) "app.kubernetes.io/version" -}}
{{- mergeOverwrite $labels ((index . 2).podLabels | default dict) | toYaml -}}
{{- end -}}

{{/* image: (list $ IMAGE PATH); the registry of global.imageRegistry wins, a digest beside the tag too */}}
{{- define "waybill.image" -}}
{{- $image := index . 1 -}}
{{- $registry := (index . 0).Values.global.imageRegistry | default $image.registry -}}
{{- if has $image.tag (list nil "" "latest") -}}
{{- fail (printf "set %s.tag to a version: images are pinned, never latest" (index . 2)) -}}
{{- end -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* imageOver: (list IMAGE OWN) → IMAGE and over it OWN as JSON; what is of one image alone does not go over */}}
{{- define "waybill.imageOver" -}}
{{- $image := deepCopy (index . 0) -}}
{{- $own := index . 1 | default dict -}}
{{- if or (hasKey $own "repository") (hasKey $own "tag") -}}
{{- $image = omit $image "digest" "cudaVersion" -}}
{{- end -}}
{{- range $key, $value := $own -}}{{- $_ := set $image $key $value -}}{{- end -}}
{{- toJson $image -}}
{{- end -}}

{{/* ownImage: $ → image and imagePullPolicy of the project's own image */}}
{{- define "waybill.ownImage" -}}
image: {{ include "waybill.image" (list . .Values.global.image "global.image") }}
imagePullPolicy: {{ .Values.global.image.pullPolicy }}
{{- end -}}

{{/* podSpec: (list $ VALUES) → what the pods of all components have in common */}}
{{- define "waybill.podSpec" -}}
{{- $global := (index . 0).Values.global -}}
{{- $values := index . 1 -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with $global.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with $global.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" }}
{{- with get $values $key }}
{{ $key }}: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* containerSecurity: what the restricted Pod Security Standard asks for, and a read-only root */}}
{{- define "waybill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* text: a plain value → its text; Helm reads numbers as floating-point, and 1000000 would be 1e+06 */}}
{{- define "waybill.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/*
yaml: (list WHAT TEXT) → the text, if it is a map in YAML. fromYaml says what is wrong in a map with the
key Error, which would be taken for what was meant.
*/}}
{{- define "waybill.yaml" -}}
{{- $error := get (index . 1 | fromYaml) "Error" -}}
{{- if and (kindIs "string" $error) $error -}}
{{- fail (printf "%s is no map in YAML: %s" (index . 0) $error) -}}
{{- end -}}
{{- index . 1 -}}
{{- end -}}

{{/* spread: (list $ COMPONENT) → pods of a component on nodes of their own, where there are such */}}
{{- define "waybill.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "waybill.selectorLabels" . | nindent 8 }}
{{- end -}}

{{/* env: a map of plain values → a list of variables, in the map's order of names */}}
{{- define "waybill.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "waybill.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The CA bundle: three helpers, each empty where there is none. It replaces the system's list. */}}
{{- define "waybill.caVolume" -}}
{{- with .Values.global.caBundle.existingConfigMap }}
- name: ca-bundle
  configMap: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- define "waybill.caMount" -}}
{{- if .Values.global.caBundle.existingConfigMap }}
- name: ca-bundle
  mountPath: /etc/waybill/ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* caFile: $ → the path of the mounted bundle, or nothing */}}
{{- define "waybill.caFile" -}}
{{- if .Values.global.caBundle.existingConfigMap -}}/etc/waybill/ca/{{ .Values.global.caBundle.key }}{{- end -}}
{{- end -}}

{{- define "waybill.caEnv" -}}
{{- with include "waybill.caFile" . }}
- {name: SSL_CERT_FILE, value: {{ . }}}
- {name: REQUESTS_CA_BUNDLE, value: {{ . }}}
- {name: AWS_CA_BUNDLE, value: {{ . }}}
{{- end }}
{{- end -}}
