{{/* settings: $ → Keycloak's own settings as a map; keycloak.env wins over them */}}
{{- define "keycloak.settings" -}}
KC_CACHE: {{ if gt (int .Values.replicas) 1 }}ispn{{ else }}local{{ end }}
KC_HEALTH_ENABLED: true
KC_HOSTNAME: {{ include "waybill.keycloak.hostname" . }}
# Whoever asks inside of the cluster is told addresses inside of it; the issuer stays the public one.
KC_HOSTNAME_BACKCHANNEL_DYNAMIC: true
KC_HTTP_ENABLED: true
KC_HTTP_MANAGEMENT_SCHEME: http
KC_METRICS_ENABLED: true
# Requests that came before the Service forgot the pod are still answered.
KC_SHUTDOWN_DELAY: 5s
KC_SHUTDOWN_TIMEOUT: 15s
{{- if .Values.ingress.enabled }}
KC_PROXY_HEADERS: xforwarded
{{- end }}
{{- if .Values.tls.secretName }}
KC_HTTPS_CERTIFICATE_FILE: /etc/keycloak/tls/tls.crt
KC_HTTPS_CERTIFICATE_KEY_FILE: /etc/keycloak/tls/tls.key
{{- end }}
{{- with include "waybill.caFile" . }}
KC_TRUSTSTORE_PATHS: {{ . }}
{{- end }}
{{ include "keycloak.databaseSettings" . }}
{{- end -}}

{{- define "keycloak.databaseSettings" -}}
{{- $database := .Values.database -}}
{{- if eq $database.mode "file" -}}
KC_DB: dev-file
{{- else -}}
KC_DB: postgres
KC_DB_URL_DATABASE: {{ $database.name }}
KC_DB_URL_HOST: {{ if eq $database.mode "external" }}{{ $database.host }}{{ else }}{{ include "waybill.serviceHost" (list . "keycloak-postgresql") }}{{ end }}
KC_DB_URL_PORT: {{ if eq $database.mode "external" }}{{ $database.port }}{{ else }}5432{{ end }}
{{- if and (eq $database.mode "external") $database.tls }}
KC_DB_TLS_MODE: verify-server
KC_DB_TLS_TRUST_STORE_FILE: {{ include "waybill.caFile" . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* adminEnv: $ → the first administrator, whom Keycloak makes once and the realm's Job logs in as */}}
{{- define "keycloak.adminEnv" -}}
{{- $secret := include "waybill.secretName" (list . "keycloak-admin" .Values.existingSecret) -}}
{{- range $key := list "KC_BOOTSTRAP_ADMIN_USERNAME" "KC_BOOTSTRAP_ADMIN_PASSWORD" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $key }}}}
{{- end }}
{{- end -}}

{{/* databaseSecret: $ → the Secret with POSTGRES_USER and POSTGRES_PASSWORD */}}
{{- define "keycloak.databaseSecret" -}}
{{- include "waybill.secretName" (list . "keycloak-postgresql" .Values.database.existingSecret) -}}
{{- end -}}
