{{/* ingress: (list $ COMPONENT PORT INGRESS [PATH]) → an Ingress to the port, by name, of the Service */}}
{{- define "waybill.ingress" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $ingress := index . 3 -}}
{{- if $ingress.enabled -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "waybill.metadataWith" (list $root $component dict ($ingress.annotations | default dict)) | nindent 2 }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $ingress.tlsSecretName }}
  tls:
    - secretName: {{ . }}
      hosts: [{{ $ingress.host | quote }}]
  {{- end }}
  rules:
    - host: {{ required (printf "the ingress of %s is enabled and has no host: set its ingress.host" $component) $ingress.host | quote }}
      http:
        paths:
          - path: {{ if gt (len .) 4 }}{{ index . 4 }}{{ else }}/{{ end }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "waybill.name" (list $root $component) }}
                port: {name: {{ index . 2 }}}
{{- end -}}
{{- end -}}
