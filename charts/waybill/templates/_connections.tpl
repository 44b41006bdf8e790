{{/*
Connection contracts: where the object store, the issuers, the hub and the engines are, whoever
provides them. No template outside this file decides between embedded and external.
*/}}

{{/* serviceHost: (list $ COMPONENT) → the Service's name with its namespace */}}
{{- define "waybill.serviceHost" -}}
{{ include "waybill.name" . }}.{{ (index . 0).Release.Namespace }}.svc
{{- end -}}

{{- define "waybill.objectStore.endpoint" -}}
{{- $store := .Values.global.objectStore -}}
{{- if eq $store.mode "external" -}}
{{- $store.endpoint -}}
{{- else -}}
{{- $store.endpoint | default (printf "http://%s:9000" (include "waybill.serviceHost" (list . "minio"))) -}}
{{- end -}}
{{- end -}}

{{- define "waybill.objectStore.url" -}}
{{- $store := .Values.global.objectStore -}}
s3://{{ $store.bucket }}{{ with $store.prefix }}/{{ trimAll "/" . }}{{ end }}
{{- end -}}

{{/* secretName: (list $ SUFFIX EXISTING) → the Secret that a person names, or <release>-<suffix> */}}
{{- define "waybill.secretName" -}}
{{- index . 2 | default (include "waybill.name" (list (index . 0) (index . 1))) -}}
{{- end -}}

{{/* objectStore.secret: (list $ USER) → the Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY */}}
{{- define "waybill.objectStore.secret" -}}
{{- $user := get (index . 0).Values.global.objectStore.users (index . 1) -}}
{{- include "waybill.secretName" (list (index . 0) (printf "objectstore-%s" (index . 1)) $user.existingSecret) -}}
{{- end -}}

{{- define "waybill.keycloak.internalUrl" -}}
http://{{ include "waybill.serviceHost" (list . "keycloak") }}:8080
{{- end -}}

{{/* oidc.issuer: $ → the issuer as tokens name it; the embedded realm's public address is this too */}}
{{- define "waybill.oidc.issuer" -}}
{{- $oidc := .Values.global.oidc -}}
{{- if eq $oidc.mode "external" -}}
{{- $oidc.issuer -}}
{{- else -}}
{{- $oidc.issuer | default (printf "%s/realms/waybill" (include "waybill.keycloak.internalUrl" .)) -}}
{{- end -}}
{{- end -}}

{{/* keycloak.realm and keycloak.hostname: the two halves of the embedded issuer */}}
{{- define "waybill.keycloak.realm" -}}
{{- include "waybill.oidc.issuer" . | splitList "/realms/" | last -}}
{{- end -}}

{{- define "waybill.keycloak.hostname" -}}
{{- include "waybill.oidc.issuer" . | splitList "/realms/" | first -}}
{{- end -}}

{{/*
oidc.issuers: $ → {"issuers": [{name, issuer, jwksUri, audiences: {hub, gateway}, algorithms}]} as JSON.
Both audiences are always there: a server that is told none would take tokens that are meant for others.
*/}}
{{- define "waybill.oidc.issuers" -}}
{{- $oidc := .Values.global.oidc -}}
{{- $jwks := $oidc.jwksUri -}}
{{- if ne $oidc.mode "external" -}}
{{- $jwks = $jwks | default (printf "%s/realms/%s/protocol/openid-connect/certs"
      (include "waybill.keycloak.internalUrl" .) (include "waybill.keycloak.realm" .)) -}}
{{- end -}}
{{- $all := list (dict "name" "main" "issuer" (include "waybill.oidc.issuer" .) "jwksUri" $jwks
      "audiences" $oidc.audiences "algorithms" $oidc.algorithms) -}}
{{- range $name, $more := $oidc.issuers -}}
{{- if $more.enabled -}}
{{- $all = append $all (dict "name" $name "issuer" $more.issuer "jwksUri" ($more.jwksUri | default "")
      "audiences" (merge dict ($more.audiences | default dict) $oidc.audiences)
      "algorithms" ($more.algorithms | default $oidc.algorithms)) -}}
{{- end -}}
{{- end -}}
{{- range $issuer := $all -}}
{{- range $who := list "hub" "gateway" -}}
{{- $_ := required (printf "no audience of the %s is known for the issuer %s: set global.oidc.audiences.%s" $who $issuer.name $who) (get $issuer.audiences $who) -}}
{{- end -}}
{{- end -}}
{{- dict "issuers" $all | toJson -}}
{{- end -}}

{{- define "waybill.hub.url" -}}
http://{{ include "waybill.serviceHost" (list . "model-hub") }}:8080
{{- end -}}

{{/* pins: $ → the pins as JSON, from global.pins or, where that is empty, from global.pinsYaml */}}
{{- define "waybill.pins" -}}
{{- $global := .Values.global -}}
{{- if and $global.pins $global.pinsYaml -}}
{{- fail "global.pins and global.pinsYaml are both set: give the pins once" -}}
{{- end -}}
{{- if $global.pinsYaml -}}
{{- $file := include "waybill.yaml" (list "global.pinsYaml" $global.pinsYaml) | fromYaml -}}
{{- /* Pins that are not found would be no pins, and an upgrade would take every engine away. */ -}}
{{- if not (kindIs "map" (dig "global" "pins" "" $file)) -}}
{{- fail "global.pinsYaml has no map global.pins: give it the whole text of values/pins/<env>.yaml" -}}
{{- end -}}
{{- $file.global.pins | toJson -}}
{{- else -}}
{{- $global.pins | toJson -}}
{{- end -}}
{{- end -}}

{{/* rollout: (list $ MODEL) → sideBySide or replace; the profile's room decides where the model does not say */}}
{{- define "waybill.rollout" -}}
{{- $model := index . 1 -}}
{{- $surge := dig ($model.profile | default "") "surge" false (index . 0).Values.global.profiles -}}
{{- $model.rollout | default (ternary "sideBySide" "replace" $surge) -}}
{{- end -}}

{{/*
engines: $ → {"engines": [{model, commit, component, name, repo, digest, size, profile, …}]} as JSON,
one for each pinned revision of an enabled model that is ours, in the order of names; where a new
revision replaces the old, only for those with a share of the traffic: there is no room for both. The
component is vllm-<model>-<first 8 of the commit>. The size stays text: JSON would make it 1.4e+11.
*/}}
{{- define "waybill.engines" -}}
{{- $root := . -}}
{{- $engines := list -}}
{{- $pins := include "waybill.pins" . | fromJson -}}
{{- range $name, $model := .Values.global.models -}}
{{- if and $model.enabled (eq ($model.target | default "deployment") "deployment") -}}
{{- $both := eq "sideBySide" (include "waybill.rollout" (list $root $model)) -}}
{{- $used := dict -}}
{{- range $slot, $share := dig $name "traffic" dict $pins -}}
{{- if gt (int $share.weight) 0 }}{{ $_ := set $used $share.commit true }}{{ end -}}
{{- end -}}
{{- range $commit, $revision := dig $name "revisions" dict $pins -}}
{{- if or $both (hasKey $used $commit) -}}
{{- $component := printf "vllm-%s-%s" $name (substr 0 8 $commit) -}}
{{- $engines = append $engines (dict
      "model" $name "commit" $commit "component" $component
      "name" (include "waybill.name" (list $root $component))
      "repo" $revision.repo "digest" $revision.digest "size" ($revision.size | toString)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "engines" $engines | toJson -}}
{{- end -}}
