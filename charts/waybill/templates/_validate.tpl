{{/*
What contradicts itself, as sentences: what is wrong, where, and what to do. Each helper here gives
{"problems": [sentence, …]} as JSON; validate.yaml says all of them at once.
*/}}

{{- define "waybill.problems.connections" -}}
{{- $v := .Values -}}{{- $found := list -}}
{{- $signedIn := or (and $v.modelHub.enabled $v.modelHub.auth.enabled) (and $v.gateway.enabled $v.gateway.auth.enabled) -}}
{{- range list
      (dict "path" "global.objectStore" "key" "endpoint" "ours" "minio" "needed" (or $v.modelHub.enabled $v.import.enabled))
      (dict "path" "global.oidc" "key" "issuer" "ours" "keycloak" "needed" $signedIn) -}}
{{- $contract := get $v.global (trimPrefix "global." .path) -}}
{{- $enabled := (get $v .ours).enabled -}}
{{- if and (eq $contract.mode "embedded") .needed (not $enabled) -}}
{{- $found = append $found (printf "%s.mode is embedded and %s.enabled is false: set %s.enabled: true, or the mode to external" .path .ours .ours) -}}
{{- end -}}
{{- if and (eq $contract.mode "external") $enabled -}}
{{- $found = append $found (printf "%s.mode is external and %s.enabled is true: set %s.enabled: false, or the mode to embedded" .path .ours .ours) -}}
{{- end -}}
{{- if and (eq $contract.mode "external") .needed (not (get $contract .key)) -}}
{{- $found = append $found (printf "%s.mode is external and nothing says where: set %s.%s" .path .path .key) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{- define "waybill.problems.models" -}}
{{- $g := .Values.global -}}{{- $found := list -}}{{- $names := dict -}}
{{- range $name, $model := $g.models -}}{{- if $model.enabled -}}
{{- $at := printf "global.models.%s" $name -}}
{{- if eq ($model.target | default "deployment") "external" -}}
{{- if not (dig "external" "url" "" $model) -}}
{{- $found = append $found (printf "%s.target is external and nothing says where: set %s.external.url" $at $at) -}}
{{- end -}}
{{- else -}}
{{- $profile := $model.profile | default "" -}}
{{- if not (hasKey $g.profiles $profile) -}}
{{- $found = append $found (printf "%s.profile is %q, which global.profiles does not have: choose from %s" $at $profile (keys $g.profiles | sortAlpha | join ", ")) -}}
{{- else if not (get $g.profiles $profile).enabled -}}
{{- $found = append $found (printf "%s.profile is %q, which is disabled: set global.profiles.%s.enabled: true, or choose another" $at $profile $profile) -}}
{{- end -}}
{{- if and $model.steps (eq "replace" (include "waybill.rollout" (list $ $model))) -}}
{{- $found = append $found (printf "%s.steps share the traffic of two revisions, and the model's rollout is replace, which has no room for two: set %s.rollout: sideBySide, or leave the steps out" $at $at) -}}
{{- end -}}
{{- end -}}
{{- range $model.servedNames | default (list $name) | uniq -}}
{{- if hasKey $names . -}}
{{- $found = append $found (printf "global.models.%s and %s are both served as %q: give one of them other servedNames" (get $names .) $name .) -}}
{{- end -}}
{{- $_ := set $names . $name -}}
{{- end -}}
{{- end -}}{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{- define "waybill.problems.pins" -}}
{{- $g := .Values.global -}}{{- $found := list -}}
{{- range $name, $pin := include "waybill.pins" . | fromJson -}}
{{- $at := printf "global.pins.%s" $name -}}
{{- if not (hasKey $g.models $name) -}}
{{- $found = append $found (printf "%s pins a model that global.models does not have: add global.models.%s, or remove the pin" $at $name) -}}
{{- else -}}
{{- $model := get $g.models $name -}}
{{- if eq ($model.target | default "deployment") "external" -}}
{{- $found = append $found (printf "%s pins a model that others serve: remove the pin, or set global.models.%s.target: deployment" $at $name) -}}
{{- end -}}
{{- if and (hasKey $pin.traffic "canary") (eq "replace" (include "waybill.rollout" (list $ $model))) -}}
{{- $found = append $found (printf "%s.traffic has a canary, and the model's rollout is replace, which has no room for two: set global.models.%s.rollout: sideBySide, or promote without a canary" $at $name) -}}
{{- end -}}
{{- end -}}
{{- $sum := 0 -}}
{{- range $slot, $share := $pin.traffic -}}
{{- $sum = add $sum (int $share.weight) -}}
{{- if not (hasKey $pin.revisions $share.commit) -}}
{{- $found = append $found (printf "%s.traffic.%s names %s, which is not in its revisions: write the pins with `waybill pin`" $at $slot $share.commit) -}}
{{- end -}}
{{- end -}}
{{- if ne (int $sum) 100 -}}
{{- $found = append $found (printf "%s.traffic adds up to %d instead of 100: write the pins with `waybill pin`" $at (int $sum)) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{/* Whether engines that are pinned have what they need: themselves, a hub, and a way to sign in. */}}
{{- define "waybill.problems.engines" -}}
{{- $v := .Values -}}{{- $found := list -}}
{{- if (include "waybill.engines" . | fromJson).engines -}}
{{- if not $v.vllm.enabled -}}
{{- $found = append $found "models are pinned and vllm.enabled is false, so the gateway would ask engines that are not there: set vllm.enabled: true, or disable the models" -}}
{{- else if not $v.modelHub.enabled -}}
{{- $found = append $found "models are pinned and modelHub.enabled is false, which is where engines fetch their weights: set modelHub.enabled: true, or disable the models" -}}
{{- else if and $v.modelHub.auth.enabled (not $v.modelHub.auth.kubernetes) -}}
{{- $found = append $found "modelHub.auth.kubernetes is false, and engines sign in to the hub with the cluster's tokens alone: set it to true, or modelHub.auth.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- range $name, $pin := include "waybill.pins" . | fromJson -}}
{{- $short := dict -}}
{{- range $commit, $revision := $pin.revisions -}}
{{- $eight := substr 0 8 $commit -}}
{{- if hasKey $short $eight -}}
{{- $found = append $found (printf "global.pins.%s has two revisions that begin with %s, and engines are named by that: unpin one of %s and %s" $name $eight (get $short $eight) $commit) -}}
{{- end -}}
{{- $_ := set $short $eight $commit -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{/* Whether the keys of an external store are known, and tokens for one server are not good for another. */}}
{{- define "waybill.problems.identity" -}}
{{- $v := .Values -}}{{- $g := .Values.global -}}{{- $found := list -}}
{{- if and (eq $g.objectStore.mode "external") $v.modelHub.enabled (not $g.objectStore.users.hub.existingSecret) -}}
{{- $found = append $found "global.objectStore.mode is external, and nobody makes the hub's keys for it: set global.objectStore.users.hub.existingSecret" -}}
{{- end -}}
{{- $audiences := $g.oidc.audiences -}}
{{- if and (eq $g.oidc.mode "embedded") $v.keycloak.enabled (eq $audiences.hub $audiences.gateway) -}}
{{- $found = append $found (printf "global.oidc.audiences.hub and global.oidc.audiences.gateway are both %q, so a token for the one would open the other: give one of them another name" $audiences.hub) -}}
{{- end -}}
{{- if hasKey $g.oidc.issuers "main" -}}
{{- $found = append $found "global.oidc.issuers.main has the name that the issuer in global.oidc.issuer has: give it another" -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{/* Whether the hub's trust policy is one, and the only one. */}}
{{- define "waybill.problems.trust" -}}
{{- $trust := .Values.modelHub.trust -}}{{- $found := list -}}
{{- if and $trust.policy $trust.existingConfigMap -}}
{{- $found = append $found "modelHub.trust.policy and modelHub.trust.existingConfigMap both say whom the hub trusts: leave one of them out" -}}
{{- end -}}
{{- if and $trust.policy (not (hasKey (fromYaml $trust.policy) "default")) -}}
{{- $found = append $found "modelHub.trust.policy is not the text of a trust policy, which has at least a default: give it with --set-file modelHub.trust.policy=FILE" -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{/* Whether an import is told what to import, and has keys for a store that is not ours. */}}
{{- define "waybill.problems.import" -}}
{{- $v := .Values -}}{{- $store := $v.global.objectStore -}}{{- $found := list -}}
{{- if and $v.import.enabled (not $v.import.args) -}}
{{- $found = append $found "import.enabled is true and nothing says what to import: leave it false, and call `waybill sideload --in-cluster`, which sets it for one Job" -}}
{{- end -}}
{{- if and $v.import.enabled (eq $store.mode "external") (not $store.users.sideload.existingSecret) -}}
{{- $found = append $found "global.objectStore.mode is external, and nobody makes the keys with which imports write to it: set global.objectStore.users.sideload.existingSecret" -}}
{{- end -}}
{{- dict "problems" $found | toJson -}}
{{- end -}}

{{/* problems: $ → all sentences, a line each */}}
{{- define "waybill.problems" -}}
{{- $all := list -}}
{{- range $part := list "connections" "identity" "models" "pins" "engines" "trust" "import" "network" -}}
{{- $all = concat $all (include (printf "waybill.problems.%s" $part) $ | fromJson).problems -}}
{{- end -}}
{{- $all | uniq | join "\n" -}}
{{- end -}}
