{{/*
What the gateway routes to, worked out once from global.models and the pins; the templates beside
this file only write it down.
*/}}

{{/*
models: $ → {"models": [{name, names, stable, revisions: [{commit, host, cluster, route, weight}],
external: {cluster, scheme, host, port, authority, path, model, secret, key}}]} as JSON.
A revision's `cluster` is its engines alone, its `route` falls back on stable where they are not Ready.
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
{{- $stable := (first $revisions).stable -}}
{{- $models = append $models (merge $entry (dict "revisions" $revisions "stable" $stable)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "models" $models | toJson -}}
{{- end -}}

{{/* revisions: (list $ MODEL) → {"revisions": […]} of one model of ours, as JSON */}}
{{- define "gateway.revisions" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $weights := dict -}}
{{- $stable := "" -}}
{{- range $slot, $share := dig $name "traffic" dict (include "waybill.pins" $root | fromJson) -}}
{{- if eq $slot "stable" }}{{ $stable = $share.commit }}{{ end -}}
{{- $_ := set $weights $share.commit (add (get $weights $share.commit | default 0) (int $share.weight)) -}}
{{- end -}}
{{- $revisions := list -}}
{{- range (include "waybill.engines" $root | fromJson).engines -}}
{{- if eq .model $name -}}
{{- $cluster := printf "%s@%s" $name (substr 0 8 .commit) -}}
{{- $revisions = append $revisions (dict "commit" .commit "cluster" $cluster
      "route" (eq .commit $stable | ternary $cluster (printf "%s+stable" $cluster))
      "host" (include "waybill.serviceHost" (list $root .component))
      "stable" (printf "%s@%s" $name (substr 0 8 $stable))
      "weight" (get $weights .commit | default 0)) -}}
{{- end -}}
{{- end -}}
{{- dict "revisions" $revisions | toJson -}}
{{- end -}}

{{/* external: (list $ NAME MODEL) → where a model outside answers, as JSON */}}
{{- define "gateway.external" -}}
{{- $name := index . 1 -}}
{{- $model := index . 2 -}}
{{- $external := $model.external | default dict -}}
{{- $upstream := $external.model | default (first ($model.servedNames | default (list $name))) -}}
{{- merge (dict "cluster" (printf "%s@external" $name) "model" $upstream
      "secret" ($external.existingSecret | default "") "key" ($external.secretKey | default "apiKey"))
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
