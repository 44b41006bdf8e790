{{/*
What one engine is made of. An ENGINE is an entry of waybill.engines; its MODEL is the one of
global.models, its PROFILE that of global.profiles, of which any key may be left out.
*/}}

{{/* vllm.profile: (list $ ENGINE) → the profile as YAML, empty where validation says that it is missing */}}
{{- define "vllm.profile" -}}
{{- $global := (index . 0).Values.global -}}
{{- $model := get $global.models (index . 1).model -}}
{{- get $global.profiles ($model.profile | default "") | default dict | toYaml -}}
{{- end -}}

{{/*
vllm.budget: (list SIZE RATE) → the seconds that an engine may take to start: five minutes for
compiling and graphs, and twice the time in which its bytes come at RATE MB/s.
*/}}
{{- define "vllm.budget" -}}
{{- add 300 (div (mul 2 (int64 (index . 0))) (int64 (mulf (index . 1) 1000000.0))) -}}
{{- end -}}

{{/* vllm.mebibytes: SIZE → what the weights need, in MiB: 1 for each MB leaves room for folders and blocks */}}
{{- define "vllm.mebibytes" -}}
{{- add 64 (div (int64 .) 1000000) -}}
{{- end -}}

{{/* vllm.place: (list $ ENGINE TYPE) → the folder of the revision; a cache is shared by many */}}
{{- define "vllm.place" -}}
{{- $release := (index . 0).Release -}}
/models/{{ if ne (index . 2) "emptyDir" }}{{ $release.Namespace }}/{{ $release.Name }}/{{ end }}{{ (index . 1).commit }}
{{- end -}}

{{/* vllm.weights: (list WEIGHTS ENGINE) → the volume of the weights */}}
{{- define "vllm.weights" -}}
{{- $weights := index . 0 -}}
{{- $type := $weights.type | default "emptyDir" -}}
name: models
{{- if eq $type "emptyDir" }}
emptyDir: {sizeLimit: {{ include "vllm.mebibytes" (index . 1).size }}Mi}
{{- else if eq $type "hostPath" }}
hostPath: {path: {{ $weights.path | quote }}, type: Directory}
{{- else }}
persistentVolumeClaim: {claimName: {{ $weights.claimName }}}
{{- end }}
{{- end -}}

{{/* vllm.value: a value of engineArgs → its text; a map is JSON */}}
{{- define "vllm.value" -}}
{{- if kindIs "map" . }}{{ toJson . }}{{ else }}{{ include "waybill.text" . }}{{ end -}}
{{- end -}}

{{/* vllm.options: (list ARGS…) → {"options": [--flag=value, …]} as JSON; of several ARGS the last wins */}}
{{- define "vllm.options" -}}
{{- $args := dict -}}
{{- range . -}}
{{- range $name, $value := . -}}{{- $_ := set $args $name $value -}}{{- end -}}
{{- end -}}
{{- $options := list -}}
{{- range $name, $value := $args -}}
{{- if kindIs "invalid" $value -}}
{{- else if kindIs "bool" $value -}}
{{- $options = append $options (printf "--%s%s" (ternary "" "no-" $value) $name) -}}
{{- else if kindIs "slice" $value -}}
{{- $options = append $options (printf "--%s" $name) -}}
{{- range $value -}}{{- $options = append $options (include "vllm.value" .) -}}{{- end -}}
{{- else -}}
{{- $options = append $options (printf "--%s=%s" $name (include "vllm.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- dict "options" $options | toJson -}}
{{- end -}}

{{/*
vllm.start: (list $ ENGINE PROFILE PLACE) → {"command": […], "args": […]} as JSON. `vllm serve` takes
the model by its place in the line, the older entry point by a flag.
*/}}
{{- define "vllm.start" -}}
{{- $root := index . 0 -}}{{- $engine := index . 1 -}}{{- $profile := index . 2 -}}{{- $place := index . 3 -}}
{{- $model := get $root.Values.global.models $engine.model -}}
{{- $command := $profile.command | default (list "vllm" "serve") -}}
{{- $names := append ($model.servedNames | default (list $engine.model)) (printf "%s@%s" $engine.model (substr 0 8 $engine.commit)) -}}
{{- $drain := sub $root.Values.terminationGracePeriodSeconds (include "vllm.pause" .) | add -15 -}}
{{- $first := list (eq (last $command) "serve" | ternary $place (printf "--model=%s" $place)) -}}
{{- $ours := list "--port=8000" (printf "--shutdown-timeout=%d" $drain) "--served-model-name" -}}
{{- $options := (include "vllm.options" (list $root.Values.engineArgs $profile.engineArgs $model.engineArgs) | fromJson).options -}}
{{- dict "command" $command "args" (concat $first $options $ours ($names | uniq)) | toJson -}}
{{- end -}}

{{/* vllm.pause: seconds until no gateway sends anything more to an engine that is about to stop */}}
{{- define "vllm.pause" -}}15{{- end -}}

{{/* vllm.env: (list $ ENGINE PROFILE BUDGET) → the engine's environment as a map */}}
{{- define "vllm.env" -}}
{{- $root := index . 0 -}}
{{- $model := get $root.Values.global.models (index . 1).model -}}
{{- $env := dict
      "DISABLE_SAFETENSORS_CONVERSION" "1"
      "DO_NOT_TRACK" "1"
      "HF_HUB_DISABLE_TELEMETRY" "1"
      "HF_HUB_OFFLINE" "1"
      "TRANSFORMERS_OFFLINE" "1"
      "VLLM_NO_USAGE_STATS" "1"
      "VLLM_ENGINE_READY_TIMEOUT_S" (index . 3)
      "HOME" "/cache"
      "HF_HOME" "/cache/huggingface"
      "MPLCONFIGDIR" "/cache/matplotlib"
      "NUMBA_CACHE_DIR" "/cache/numba"
      "TMPDIR" "/tmp"
      "TORCHINDUCTOR_CACHE_DIR" "/cache/inductor"
      "TRITON_CACHE_DIR" "/cache/triton"
      "VLLM_CACHE_ROOT" "/cache/vllm"
      "XDG_CACHE_HOME" "/cache/xdg"
      "USER" "engine" -}}
{{- range list $root.Values.env (index . 2).env $model.env -}}
{{- range $name, $value := . -}}{{- $_ := set $env $name $value -}}{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}
