{{/* minio.validate: $ → nothing, or the sentence that says what contradicts what */}}
{{- define "minio.validate" -}}
{{- $endpoint := include "waybill.objectStore.endpoint" . -}}
{{- $own := printf "https://%s:9000" (include "waybill.serviceHost" (list . "minio")) -}}
{{- if and .Values.tls.secretName (not (hasPrefix "https://" $endpoint)) -}}
{{- fail (printf "minio.tls.secretName makes MinIO speak TLS alone, and all others would ask %s: set global.objectStore.endpoint to %s, and global.caBundle where your own authority signed" $endpoint $own) -}}
{{- end -}}
{{- if and (not .Values.tls.secretName) (eq (trimSuffix "/" $endpoint) $own) -}}
{{- fail (printf "global.objectStore.endpoint is %s, and MinIO has no certificate: set minio.tls.secretName, or leave the endpoint empty" $endpoint) -}}
{{- end -}}
{{- end -}}

{{/* minio.settings: $ → MinIO's environment as YAML; what minio.env says comes over it */}}
{{- define "minio.settings" -}}
MINIO_BROWSER: "off"
MINIO_UPDATE: "off"
# A sideload that was stopped on a Friday goes on from there on Monday.
MINIO_API_STALE_UPLOADS_EXPIRY: {{ .Values.staleUploads | quote }}
MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL: 6h
# The NetworkPolicy says who reads the metrics; the Ingress does not lead there.
MINIO_PROMETHEUS_AUTH_TYPE: public
{{- end -}}
