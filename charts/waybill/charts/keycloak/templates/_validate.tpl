{{/* Values that contradict each other, each with the sentence to act on. */}}
{{- define "keycloak.validate" -}}
{{- $database := .Values.database -}}
{{- $issuer := include "waybill.oidc.issuer" . -}}
{{- if not (regexMatch "^https?://[^/]+(/.*)?/realms/[^/]+$" $issuer) -}}
{{- fail (printf "global.oidc.issuer is %s, and Keycloak's is its public address and /realms/<name>, with nothing after it: set it so, or global.oidc.mode: external" $issuer) -}}
{{- end -}}
{{- if hasSuffix "/realms/master" $issuer -}}
{{- fail "global.oidc.issuer names the realm master, which is Keycloak's own: name another realm" -}}
{{- end -}}
{{- if and (eq $database.mode "file") (gt (int .Values.replicas) 1) -}}
{{- fail "keycloak.database.mode is file, which one process alone can open: set keycloak.replicas: 1 or another mode" -}}
{{- end -}}
{{- if eq $database.mode "external" -}}
{{- range $key := list "host" "existingSecret" -}}
{{- $_ := required (printf "keycloak.database.mode is external: set keycloak.database.%s" $key) (get $database $key) -}}
{{- end -}}
{{- if and $database.tls (not .Values.global.caBundle.existingConfigMap) -}}
{{- fail "keycloak.database.tls is on, and no CA is known to check the server by: set global.caBundle.existingConfigMap, or keycloak.database.tls: false" -}}
{{- end -}}
{{- end -}}
{{- end -}}
