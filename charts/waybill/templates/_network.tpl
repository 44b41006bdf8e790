{{/* parts: $ → {component: true} as JSON, for each component that has pods */}}
{{- define "waybill.parts" -}}
{{- $v := .Values -}}
{{- $keycloak := and $v.keycloak.enabled (ne $v.global.oidc.mode "external") -}}
{{- $minio := and $v.minio.enabled (ne $v.global.objectStore.mode "external") -}}
{{- $parts := dict "import" true "test" true -}}
{{- range $part, $there := dict
      "drift" $v.drift.enabled
      "gateway" $v.gateway.enabled
      "keycloak" $keycloak
      "keycloak-postgresql" (and $keycloak (eq $v.keycloak.database.mode "embedded"))
      "keycloak-realm" $keycloak
      "minio" $minio
      "minio-provision" $minio
      "model-hub" $v.modelHub.enabled
      "secrets" $v.global.secrets.create
      "vllm" $v.vllm.enabled -}}
{{- if $there -}}{{- $_ := set $parts $part true -}}{{- end -}}
{{- end -}}
{{- $parts | toJson -}}
{{- end -}}

{{/* network.holds: (list $ ARROW) → "true" where the arrow's condition holds */}}
{{- define "waybill.network.holds" -}}
{{- $v := (index . 0).Values -}}
{{- $conditions := dict
      "gatewayAuth" $v.gateway.auth.enabled
      "hubAuth" $v.modelHub.auth.enabled
      "redirect" (eq $v.modelHub.delivery "redirect")
      "kubernetes" (and $v.modelHub.auth.enabled $v.modelHub.auth.kubernetes)
      "drift" $v.drift.enabled
      "secrets" $v.global.secrets.create -}}
{{- $name := get (index . 1) "if" -}}
{{- if or (not $name) (get $conditions $name) -}}true{{- end -}}
{{- end -}}

{{/* network.selector: (list $ COMPONENT) → the component's pods, engines of all revisions alike */}}
{{- define "waybill.network.selector" -}}
matchLabels:
  app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
  app.kubernetes.io/name: {{ index . 1 }}
{{- end -}}

{{/* network.rule: (list from|to PEERS PORTS) → a rule as JSON */}}
{{- define "waybill.network.rule" -}}
{{- $ports := list -}}
{{- range index . 2 -}}{{- $ports = append $ports (dict "protocol" "TCP" "port" .) -}}{{- end -}}
{{- dict (index . 0) (index . 1) "ports" $ports | toJson -}}
{{- end -}}

{{/* network.ingress: (list $ COMPONENT TABLE) → {"rules": […]} as JSON: who may come in */}}
{{- define "waybill.network.ingress" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $table := index . 2 -}}
{{- $network := $root.Values.global.network -}}
{{- $parts := include "waybill.parts" $root | fromJson -}}
{{- $rules := list -}}
{{- range $arrow := $table.arrows -}}
{{- if and (eq $arrow.to $component) (hasKey $parts $arrow.from) (include "waybill.network.holds" (list $root $arrow)) -}}
{{- $peer := dict "podSelector" (include "waybill.network.selector" (list $root $arrow.from) | fromYaml) -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "from" (list $peer) $arrow.ports) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- range $key, $door := $table.clients -}}
{{- if eq $door.to $component -}}
{{- $peers := index $network.clients $key -}}
{{- if $peers -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "from" $peers $door.ports) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $network.monitoring.namespaceLabels -}}
{{- with get $table.metrics $component -}}
{{- $peer := dict "namespaceSelector" (dict "matchLabels" $network.monitoring.namespaceLabels) -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "from" (list $peer) (list .port)) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- dict "rules" $rules | toJson -}}
{{- end -}}

{{/* network.egress: (list $ COMPONENT TABLE) → {"rules": […]} as JSON: where it may go, besides DNS */}}
{{- define "waybill.network.egress" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $table := index . 2 -}}
{{- $network := $root.Values.global.network -}}
{{- $parts := include "waybill.parts" $root | fromJson -}}
{{- $rules := list -}}
{{- range $arrow := $table.arrows -}}
{{- if and (eq $arrow.from $component) (hasKey $parts $arrow.to) (include "waybill.network.holds" (list $root $arrow)) -}}
{{- $peer := dict "podSelector" (include "waybill.network.selector" (list $root $arrow.to) | fromYaml) -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "to" (list $peer) $arrow.ports) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- range $arrow := $table.apiServer -}}
{{- if and (eq $arrow.from $component) (include "waybill.network.holds" (list $root $arrow)) -}}
{{- $peers := list -}}
{{- range $network.apiServerCidrs -}}{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) -}}{{- end -}}
{{- if $peers -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "to" $peers $arrow.ports) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $place := $network.external -}}
{{- if and $place.enabled (has $component $place.from) -}}
{{- $peer := include "waybill.network.place" $place | fromJson -}}
{{- $rules = append $rules (include "waybill.network.rule" (list "to" (list $peer) $place.ports) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- dict "rules" $rules | toJson -}}
{{- end -}}

{{/* network.place: an entry of global.network.external → a peer as JSON */}}
{{- define "waybill.network.place" -}}
{{- if .cidr -}}
{{- dict "ipBlock" (dict "cidr" .cidr) | toJson -}}
{{- else -}}
{{- $peer := dict "namespaceSelector" (dict "matchLabels" .namespaceLabels) -}}
{{- with .podLabels -}}{{- $_ := set $peer "podSelector" (dict "matchLabels" .) -}}{{- end -}}
{{- $peer | toJson -}}
{{- end -}}
{{- end -}}
