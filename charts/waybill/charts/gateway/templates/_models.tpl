{{/*
What the gateway routes to, worked out once from global.models and the pins; the templates beside
this file only write it down.
*/}}

{{/*
models: $ → {"models": [{name, names, revisions: [{commit, host, cluster}], slots: [{name, weight, clusters}],
external: {cluster, scheme, host, port, authority, path, model, secret, key}}]} as JSON.
A revision's `cluster` is its engines; a slot is answered by the first of its clusters that has one Ready.
A model of ours without a pin is left out.
*/}}
{{- define "gateway.models" -}}
{{- $root := . -}}
{{- $models := list -}}
{{- range $name, $model := .Values.global.models -}}
{{- if $model.enabled -}}
{{- $entry := dict "name" $name "names" ($model.servedNames | default (list $name)) -}}
{{- if eq ($model.target | default "deployment") "external" -}}
{{- $models = append $models (set $entry "external" (include "gateway.external" (list $root $name $model) | fromJson)) -}}
{{- else -}}
{{- $revisions := (include "gateway.revisions" (list $root $name) | fromJson).revisions -}}
{{- if $revisions -}}
{{- $slots := (include "gateway.slots" (list $root $name $revisions) | fromJson).slots -}}
{{- $models = append $models (merge $entry (dict "revisions" $revisions "slots" $slots)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "models" $models | toJson -}}
{{- end -}}

{{/* revisions: (list $ MODEL) → {"revisions": […]}: the engines that one model of ours has, as JSON */}}
{{- define "gateway.revisions" -}}
{{- $root := index . 0 -}}
{{- $revisions := list -}}
{{- range (include "waybill.engines" $root | fromJson).engines -}}
{{- if eq .model (index $ 1) -}}
{{- $revisions = append $revisions (dict "commit" .commit
      "cluster" (include "gateway.cluster.name" (list .model .commit))
      "host" (include "waybill.serviceHost" (list $root .component))) -}}
{{- end -}}
{{- end -}}
{{- dict "revisions" $revisions | toJson -}}
{{- end -}}

{{- define "gateway.cluster.name" -}}
{{ index . 0 }}@{{ substr 0 8 (index . 1) }}
{{- end -}}

{{/*
slots: (list $ MODEL REVISIONS) → {"slots": [{name, weight, clusters}]} as JSON, always the same three.
While none of a slot's engines is Ready, stable answers for it, and for stable the one before: a new
pin takes over when it can, not when it is written. The names never change, so routes never name
what is not there, in whatever order Envoy reads the two files.
*/}}
{{- define "gateway.slots" -}}
{{- $name := index . 1 -}}
{{- $known := dict -}}
{{- range index . 2 }}{{ $_ := set $known .commit .cluster }}{{ end -}}
{{- $traffic := dig $name "traffic" dict (include "waybill.pins" (index . 0) | fromJson) -}}
{{- $slots := list -}}
{{- range $slot := list "stable" "canary" "previous" -}}
{{- $clusters := list -}}
{{- range $next := list $slot "stable" "previous" -}}
{{- with get $known (dig $next "commit" "" $traffic) }}{{ $clusters = append $clusters . }}{{ end -}}
{{- end -}}
{{- $slots = append $slots (dict "name" (printf "%s/%s" $name $slot) "clusters" ($clusters | uniq)
      "weight" (dig $slot "weight" 0 $traffic | int)) -}}
{{- end -}}
{{- dict "slots" $slots | toJson -}}
{{- end -}}

{{/* external: (list $ NAME MODEL) → where a model outside answers, as JSON */}}
{{- define "gateway.external" -}}
{{- $name := index . 1 -}}
{{- $model := index . 2 -}}
{{- $external := $model.external | default dict -}}
{{- $upstream := $external.model | default (first ($model.servedNames | default (list $name))) -}}
{{- merge (dict "cluster" (printf "%s@external" $name) "model" $upstream
      "secret" ($external.existingSecret | default "") "key" ($external.key | default "token"))
      (include "gateway.address" ($external.url | default "") | fromJson) | toJson -}}
{{- end -}}

{{/* address: URL → {scheme, host, port, authority, path} as JSON; the path is what stands before /v1 */}}
{{- define "gateway.address" -}}
{{- $url := urlParse . -}}
{{- if not (and (has $url.scheme (list "http" "https")) $url.host) -}}
{{- fail (printf "%q is no address of a server: write it as https://host/path" .) -}}
{{- end -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- dict "scheme" $url.scheme "authority" $url.host "path" ($url.path | trimSuffix "/" | trimSuffix "/v1")
      "host" (regexReplaceAll ":[0-9]+$" $url.host "")
      "port" (int ($port | default (eq $url.scheme "https" | ternary "443" "80"))) | toJson -}}
{{- end -}}

{{/* issuers: $ → {"issuers": [{name, issuer, jwksUri, audience, cluster, …address}]} as JSON */}}
{{- define "gateway.issuers" -}}
{{- $issuers := list -}}
{{- if .Values.auth.enabled -}}
{{- range (include "waybill.oidc.issuers" . | fromJson).issuers -}}
{{- $uri := required (printf "the gateway needs the address of the keys of the issuer %s: set its jwksUri in global.oidc" (.issuer | default .name)) .jwksUri -}}
{{- $issuers = append $issuers (merge (dict "name" .name "issuer" .issuer "jwksUri" $uri
      "audience" .audiences.gateway "cluster" (printf "keys-of-%s" .name)) (include "gateway.address" $uri | fromJson)) -}}
{{- end -}}
{{- end -}}
{{- dict "issuers" $issuers | toJson -}}
{{- end -}}
