{{/* clusters.yaml: what answers. Envoy watches the file; each change of the pins lands here and in routes.yaml. */}}

{{- define "gateway.clusters" -}}
{{- $root := . -}}
{{- range (include "gateway.models" . | fromJson).models -}}
{{- range .revisions }}
- {{ include "gateway.cluster.engine" (list $root .) | nindent 2 | trim }}
{{- end }}
{{- range .slots }}
- {{ include "gateway.cluster.slot" (list $root .) | nindent 2 | trim }}
{{- end }}
{{- if .external }}
- {{ include "gateway.cluster.external" (list $root .name .external) | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end -}}

{{/* common: $ → what all clusters of models have. Three retries at once, the default, would lose
     most of what was in flight to an engine that dies. */}}
{{- define "gateway.cluster.common" -}}
connect_timeout: {{ .Values.timeouts.connect }}
common_lb_config:
  # Better no answer than one from an engine that is not Ready.
  healthy_panic_threshold: {value: 0}
circuit_breakers:
  thresholds:
    - {max_connections: 10000, max_pending_requests: 10000, max_requests: 10000, max_retries: 10000}
{{- end -}}

{{/* engine: (list $ REVISION) → the pods of one revision */}}
{{- define "gateway.cluster.engine" -}}
{{- $root := index . 0 -}}
{{- $revision := index . 1 -}}
"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: {{ $revision.cluster | quote }}
type: STRICT_DNS
{{ include "gateway.cluster.common" $root }}
lb_policy: LEAST_REQUEST
dns_lookup_family: V4_PREFERRED
dns_refresh_rate: 2s
# A pod that ends leaves the DNS first and finishes its streams after that.
ignore_health_on_host_removal: true
health_checks:
  - timeout: 5s
    interval: 5s
    no_traffic_interval: 5s
    interval_jitter: 1s
    unhealthy_threshold: 3
    healthy_threshold: 1
    reuse_connection: false
    http_health_check: {path: /health}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {}}
    # Engines close an idle connection after 5 s; closing it first spares a request that race.
    common_http_protocol_options: {idle_timeout: 4s}
load_assignment:
  cluster_name: {{ $revision.cluster | quote }}
  endpoints:
    - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: {{ $revision.host }}, port_value: 8000}
          metadata:
            filter_metadata:
              waybill: {revision: {{ $revision.commit | quote }}}
{{- end -}}

{{/* slot: (list $ SLOT) → the first of its clusters that has an engine that is Ready */}}
{{- define "gateway.cluster.slot" -}}
{{- $slot := index . 1 -}}
"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: {{ $slot.name | quote }}
{{ include "gateway.cluster.common" (index . 0) }}
lb_policy: CLUSTER_PROVIDED
cluster_type:
  name: envoy.clusters.aggregate
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig
    clusters: {{ $slot.clusters | toJson }}
{{- end -}}

{{/* external: (list $ NAME EXTERNAL) → a server outside, with its credential on the way out */}}
{{- define "gateway.cluster.external" -}}
{{- $root := index . 0 -}}
{{- $external := index . 2 -}}
"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: {{ $external.cluster | quote }}
type: LOGICAL_DNS
{{ include "gateway.cluster.common" $root }}
dns_lookup_family: V4_PREFERRED
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {}}
    {{- if $external.secret }}
    http_filters:
      {{- include "gateway.credential.filters" (index . 1) | nindent 6 }}
    {{- end }}
{{- include "gateway.upstream" (list $root $external.cluster $external) }}
{{- end -}}

{{/* credential.filters: MODEL → filters that add the token of the model's Secret */}}
{{- define "gateway.credential.filters" -}}
- name: credential
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
    overwrite: true
    credential:
      name: envoy.http.injected_credentials.generic
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
        header_value_prefix: "Bearer "
        credential:
          name: {{ . | quote }}
          sds_config:
            resource_api_version: V3
            path_config_source:
              path: /etc/waybill/gateway/credential-{{ . }}.yaml
              watched_directory: {path: /etc/waybill/credentials/{{ . }}}
- name: upstream_codec
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
{{- end -}}

{{/* upstream: (list $ CLUSTER ADDRESS) → the endpoint by name, with TLS verified where it is https */}}
{{- define "gateway.upstream" -}}
{{- $address := index . 2 }}
load_assignment:
  cluster_name: {{ index . 1 }}
  endpoints:
    - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: {{ $address.host | quote }}, port_value: {{ $address.port }}}
{{- if eq $address.scheme "https" }}
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {{ $address.host | quote }}
    common_tls_context:
      validation_context:
        trusted_ca:
          filename: {{ include "waybill.caFile" (index . 0) | default "/etc/ssl/certs/ca-certificates.crt" }}
        match_typed_subject_alt_names:
          - san_type: {{ regexMatch "^[0-9.]+$" $address.host | ternary "IP_ADDRESS" "DNS" }}
            matcher: {exact: {{ $address.host | quote }}}
{{- end }}
{{- end -}}
