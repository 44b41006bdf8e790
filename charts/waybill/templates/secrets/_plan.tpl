{{/*
secrets.plan: $ → the Secrets that the components need and nobody gave, as JSON: name → key →
{"random": number of characters} or {"value": text}. Whose Secret a person names is not in it.
*/}}
{{- define "waybill.secrets.plan" -}}
{{- $secrets := dict -}}
{{- $random := dict "random" 40 -}}
{{- $store := .Values.global.objectStore -}}
{{- if and .Values.minio.enabled (eq $store.mode "embedded") -}}
{{- if not .Values.minio.existingSecret -}}
{{- $_ := set $secrets (include "waybill.secretName" (list . "minio-root" ""))
      (dict "MINIO_ROOT_USER" (dict "value" "waybill-root") "MINIO_ROOT_PASSWORD" $random) -}}
{{- end -}}
{{- range $user, $given := $store.users -}}
{{- if not $given.existingSecret -}}
{{- $_ := set $secrets (include "waybill.objectStore.secret" (list $ $user))
      (dict "AWS_ACCESS_KEY_ID" (dict "value" (printf "waybill-%s" $user)) "AWS_SECRET_ACCESS_KEY" $random) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.keycloak.enabled (eq .Values.global.oidc.mode "embedded") -}}
{{- if not .Values.keycloak.existingSecret -}}
{{- $_ := set $secrets (include "waybill.secretName" (list . "keycloak-admin" ""))
      (dict "KC_BOOTSTRAP_ADMIN_USERNAME" (dict "value" "waybill-admin") "KC_BOOTSTRAP_ADMIN_PASSWORD" $random) -}}
{{- end -}}
{{- if and (eq .Values.keycloak.database.mode "embedded") (not .Values.keycloak.database.existingSecret) -}}
{{- $_ := set $secrets (include "waybill.secretName" (list . "keycloak-postgresql" ""))
      (dict "POSTGRES_USER" (dict "value" "keycloak") "POSTGRES_PASSWORD" $random) -}}
{{- end -}}
{{- if not .Values.keycloak.clients.gateway.existingSecret -}}
{{- $_ := set $secrets (include "waybill.secretName" (list . "oidc-gateway" ""))
      (dict "clientId" (dict "value" .Values.global.oidc.audiences.gateway) "clientSecret" $random) -}}
{{- end -}}
{{- end -}}
{{- $labels := include "waybill.labels" (list . "secrets") | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" "waybill" -}}
{{- dict "labels" (omit $labels "app.kubernetes.io/version") "secrets" $secrets | toJson -}}
{{- end -}}

{{/* secrets.metadata: (list $ WEIGHT) → metadata of an object of the hook */}}
{{- define "waybill.secrets.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "waybill.name" (list $root "secrets") }}
labels:
  {{- include "waybill.labels" (list $root "secrets") | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ index . 1 | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  {{- with $root.Values.global.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
