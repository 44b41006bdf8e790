{{/* validate: contradictions that no schema sees, each with what to set */}}
{{- define "gateway.validate" -}}
{{- $names := dict -}}
{{- range (include "gateway.models" . | fromJson).models -}}
{{- $model := . -}}
{{- range .names -}}
{{- if hasKey $names . -}}
{{- fail (printf "the models %s and %s are both served as %q: change servedNames of one of them" (get $names .) $model.name .) -}}
{{- end -}}
{{- $_ := set $names . $model.name -}}
{{- end -}}
{{- if not .external -}}
{{- $total := 0 -}}
{{- range .revisions }}{{ $total = add $total .weight }}{{ end -}}
{{- if ne (int $total) 100 -}}
{{- fail (printf "the pins of the model %s give its revisions %d of 100 parts of the traffic: write them with `waybill pin`, `promote` or `rollback`" .name $total) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
