{{/*
What contradicts itself, as sentences: what is wrong, where, and what to do. Each helper here gives
{"problems": [sentence, …]} as JSON; validate.yaml says all of them at once.
*/}}

{{- define "waybill.problems.connections" -}}
{{- $v := .Values -}}{{- $found := list -}}
{{- $signedIn := or (and $v.modelHub.enabled $v.modelHub.auth.enabled) (and $v.gateway.enabled $v.gateway.auth.enabled) -}}
{{- range list
      (dict "path" "global.objectStore" "key" "endpoint" "ours" "minio" "needed" $v.modelHub.enabled)
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

{{/* Who has to leave the release, and whether anything lets them. */}}
{{- define "waybill.problems.network" -}}
{{- $v := .Values -}}{{- $network := $v.global.network -}}{{- $found := list -}}
{{- $needs := list -}}
{{- if and (eq $v.global.objectStore.mode "external") $v.modelHub.enabled -}}
{{- $needs = append $needs (list "model-hub" "global.objectStore.mode is external") -}}
{{- if and $v.vllm.enabled (eq $v.modelHub.delivery "redirect") -}}
{{- $needs = append $needs (list "vllm" "modelHub.delivery is redirect and global.objectStore.mode is external") -}}
{{- end -}}
{{- end -}}
{{- $abroad := list -}}
{{- if eq $v.global.oidc.mode "external" -}}
{{- $abroad = append $abroad "global.oidc.mode is external" -}}
{{- end -}}
{{- range $name, $issuer := $v.global.oidc.issuers -}}
{{- if $issuer.enabled -}}{{- $abroad = append $abroad (printf "global.oidc.issuers.%s is enabled" $name) -}}{{- end -}}
{{- end -}}
{{- range $why := $abroad -}}
{{- range $component, $values := dict "gateway" $v.gateway "model-hub" $v.modelHub -}}
{{- if and $values.enabled $values.auth.enabled -}}
{{- $needs = append $needs (list $component $why) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.keycloak.enabled (eq $v.keycloak.database.mode "external") -}}
{{- $needs = append $needs (list "keycloak" "keycloak.database.mode is external") -}}
{{- end -}}
{{- range $name, $model := $v.global.models -}}
{{- if and $model.enabled (eq ($model.target | default "deployment") "external") -}}
{{- $needs = append $needs (list "gateway" (printf "global.models.%s.target is external" $name)) -}}
{{- end -}}
{{- end -}}
{{- $out := list -}}
{{- range $name, $place := $network.external -}}
{{- if $place.enabled -}}
{{- $out = concat $out $place.from -}}
{{- if eq (empty $place.cidr) (empty $place.namespaceLabels) -}}
{{- $found = append $found (printf "global.network.external.%s must name either a cidr or namespaceLabels" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $needs -}}
{{- if not (has (index . 0) $out) -}}
{{- $found = append $found (printf "%s, and the network lets nothing out of %s: name its addresses in an entry of global.network.external with %s in `from`, or set global.network.policies: false" (index . 1) (index . 0) (index . 0)) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "gateway" "modelHub" "keycloak" "minio" -}}
{{- $peers := index $network.clients $key -}}
{{- $values := get $v $key -}}
{{- if and $values.enabled $values.ingress.enabled (not $peers) -}}
{{- $found = append $found (printf "%s.ingress is enabled and global.network.clients.%s lets nobody in: name the namespace of the ingress controller there" $key $key) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" (ternary $found list $network.policies) | toJson -}}
{{- end -}}

{{/* problems: $ → all sentences, a line each */}}
{{- define "waybill.problems" -}}
{{- $all := list -}}
{{- range $part := list "connections" "models" "pins" "network" -}}
{{- $all = concat $all (include (printf "waybill.problems.%s" $part) $ | fromJson).problems -}}
{{- end -}}
{{- $all | uniq | join "\n" -}}
{{- end -}}
