{{/*
drift.expected: $ → the objects that the CronJob compares, rendered once more: a template cannot see
what others have made. A part that is off has no context to be rendered in.
*/}}
{{- define "waybill.drift.expected" -}}
{{- $root := . -}}
{{- range $part, $templates := dict
      "gateway" (list "configmap" "deployment" "ingress" "service")
      "keycloak" (list "ingress" "postgresql" "service" "statefulset")
      "minio" (list "ingress" "service" "statefulset")
      "modelHub" (list "deployment" "ingress" "issuers" "service" "trust")
      "vllm" (list "engines") }}
{{- $context := get $root.Subcharts $part }}
{{- if and $context (get $root.Values $part).enabled }}
{{- range $templates }}
---
{{ include (printf "waybill/charts/%s/templates/%s.yaml" $part .) $context }}
{{- end }}
{{- end }}
{{- end }}
---
{{ include "waybill/templates/networkpolicies.yaml" $root }}
{{- end -}}
