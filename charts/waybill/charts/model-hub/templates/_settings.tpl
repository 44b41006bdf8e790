{{/* hub.settings: $ → what the hub is told by its environment, as a map */}}
{{- define "hub.settings" -}}
AWS_REGION: {{ .Values.global.objectStore.region | quote }}
AWS_DEFAULT_REGION: {{ .Values.global.objectStore.region | quote }}
AWS_EC2_METADATA_DISABLED: "true"
HOME: /tmp
WAYBILL_HUB_STORE: {{ include "waybill.objectStore.url" . | quote }}
WAYBILL_HUB_ENDPOINT: {{ include "waybill.objectStore.endpoint" . | quote }}
WAYBILL_HUB_PUBLIC_ENDPOINT: {{ .Values.global.objectStore.publicEndpoint | quote }}
# Engines ask by the Service's name, and reach the object store by its Service too.
WAYBILL_HUB_INTERNAL_HOST: {{ include "waybill.serviceHost" (list . "model-hub") }}
WAYBILL_HUB_CA_BUNDLE: {{ include "waybill.caFile" . | quote }}
WAYBILL_HUB_DELIVERY: {{ .Values.delivery }}
WAYBILL_HUB_PRESIGN_SECONDS: {{ .Values.presignSeconds | int64 | quote }}
WAYBILL_HUB_HOST: "0.0.0.0"
WAYBILL_HUB_PORT: "8080"
{{- with include "hub.trust" . }}
WAYBILL_HUB_TRUST: /etc/waybill/trust/{{ ternary $.Values.trust.key "trust.yaml" (ne $.Values.trust.existingConfigMap "") }}
{{- end }}
{{- if .Values.auth.enabled }}
WAYBILL_HUB_AUTH: required
WAYBILL_HUB_ISSUERS_FILE: /etc/waybill/issuers/issuers.json
{{- if .Values.auth.kubernetes }}
WAYBILL_HUB_KUBERNETES_AUDIENCE: {{ .Values.global.oidc.audiences.hub | quote }}
{{- end }}
{{- else }}
WAYBILL_HUB_AUTH: "off"
{{- end }}
{{- end -}}

{{/* hub.trust: $ → the name of the ConfigMap with the trust policy; "" for none */}}
{{- define "hub.trust" -}}
{{- if .Values.trust.existingConfigMap -}}
{{- .Values.trust.existingConfigMap -}}
{{- else if .Values.trust.policy -}}
{{- include "waybill.name" (list . "model-hub-trust") -}}
{{- end -}}
{{- end -}}

{{/* hub.issuers: $ → the hub's issuers file */}}
{{- define "hub.issuers" -}}
{{- $ca := include "waybill.caFile" . -}}
{{- $issuers := list -}}
{{- range (include "waybill.oidc.issuers" . | fromJson).issuers -}}
{{- $issuer := dict "name" .name "issuer" .issuer "audience" .audiences.hub -}}
{{- with .jwksUri }}{{ $_ := set $issuer "jwksUri" . }}{{ end -}}
{{- with .algorithms }}{{ $_ := set $issuer "algorithms" . }}{{ end -}}
{{- with $ca }}{{ $_ := set $issuer "caBundle" . }}{{ end -}}
{{- $issuers = append $issuers $issuer -}}
{{- end -}}
{{- dict "issuers" $issuers | toPrettyJson -}}
{{- end -}}
