{{/* vllm.validate: $ → nothing; fails with a sentence where a profile does not say where weights go */}}
{{- define "vllm.validate" -}}
{{- range $name, $profile := .Values.global.profiles -}}
{{- $weights := $profile.weights | default dict -}}
{{- range $type, $key := dict "hostPath" "path" "persistentVolumeClaim" "claimName" -}}
{{- if and $profile.enabled (eq ($weights.type | default "") $type) (not (get $weights $key)) -}}
{{- fail (printf "global.profiles.%s.weights.type is %s and nothing says which: set global.profiles.%s.weights.%s" $name $type $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
