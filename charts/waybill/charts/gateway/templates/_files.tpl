{{/* files: $ → the ConfigMap that is read at the start alone; the Deployment has its checksum */}}
{{- define "gateway.files" -}}
bootstrap.yaml: |
  {{- include "waybill.yaml" (list "the gateway's configuration" (include "gateway.bootstrap" .)) | fromYaml | toYaml | nindent 2 }}
{{- range $script := list "admin.sh" "drain.sh" "started.sh" }}
{{ $script }}: |
  {{- $.Files.Get (print "files/" $script) | nindent 2 }}
{{- end }}
{{- if .Values.tls.secretName }}
certificate.yaml: |
  resources:
    - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
      name: certificate
      tls_certificate:
        certificate_chain: {filename: /etc/waybill/tls/tls.crt}
        private_key: {filename: /etc/waybill/tls/tls.key}
        watched_directory: {path: /etc/waybill/tls}
{{- end }}
{{- range (include "gateway.models" . | fromJson).models }}
{{- if dig "external" "secret" "" . }}
credential-{{ .name }}.yaml: |
  resources:
    - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
      name: {{ .name | quote }}
      generic_secret:
        secret: {filename: /etc/waybill/credentials/{{ .name }}/token}
{{- end }}
{{- end }}
{{- end -}}
