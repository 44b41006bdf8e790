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
{{- if and (eq $v.global.objectStore.mode "external") $v.import.enabled -}}
{{- $needs = append $needs (list "import" "global.objectStore.mode is external") -}}
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
{{- if and $v.monitoring.podMonitors.enabled (not $network.monitoring.namespaceLabels) -}}
{{- $found = append $found "monitoring.podMonitors.enabled is true, and the network lets no Prometheus in: name its namespace in global.network.monitoring.namespaceLabels" -}}
{{- end -}}
{{- dict "problems" (ternary $found list $network.policies) | toJson -}}
{{- end -}}
