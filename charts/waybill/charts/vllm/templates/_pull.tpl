{{/*
vllm.pull: (list $ ENGINE PLACE TYPE) → the init container that brings the weights. A cache holds
what an earlier pod has brought, and then no hub is asked.
*/}}
{{- define "vllm.pull" -}}
{{- $root := index . 0 -}}{{- $engine := index . 1 -}}
name: pull
{{- $image := include "waybill.imageOver" (list $root.Values.global.image $root.Values.pull.image) | fromJson }}
image: {{ include "waybill.image" (list $root $image "global.image") }}
imagePullPolicy: {{ $image.pullPolicy }}
args:
  - pull
  - {{ $engine.repo }}@{{ $engine.commit }}
  - --hub={{ include "waybill.hub.url" $root }}
  - --digest={{ $engine.digest }}
  - --out={{ index . 2 }}
securityContext:
  {{- include "waybill.containerSecurity" $root | nindent 2 }}
env:
  # The kubelet exchanges the token while it is still good; each request reads it anew.
  - {name: HF_TOKEN_PATH, value: /var/run/secrets/waybill/token}
  - {name: HF_HUB_DISABLE_TELEMETRY, value: "1"}
  - {name: HOME, value: /tmp}
  {{- include "waybill.caEnv" $root | nindent 2 }}
resources:
  {{- $resources := deepCopy $root.Values.pull.resources }}
  {{- if eq (index . 3) "emptyDir" }}
  {{- $room := dict "ephemeral-storage" (printf "%sMi" (include "vllm.mebibytes" $engine.size)) }}
  {{- $_ := set $resources "requests" (merge $room ($resources.requests | default dict)) }}
  {{- end }}
  {{- toYaml $resources | nindent 2 }}
volumeMounts:
  - {name: models, mountPath: /models}
  - {name: token, mountPath: /var/run/secrets/waybill, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- include "waybill.caMount" $root | nindent 2 }}
{{- end -}}
