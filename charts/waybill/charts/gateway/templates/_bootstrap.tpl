{{/* bootstrap.yaml: what Envoy reads once, at its start; a change of it restarts the pods. */}}

{{- define "gateway.bootstrap" -}}
node: {id: gateway, cluster: {{ .Release.Name | quote }}}
admin:
  # It can stop Envoy and shows its configuration: the pod's own loopback alone.
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
dynamic_resources:
  cds_config:
    {{- include "gateway.watched" "clusters.yaml" | nindent 4 }}
typed_dns_resolver_config:
  name: envoy.network.dns_resolver.cares
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    # A gateway is Ready once it has asked for each engine. Where the name servers of a closed room say
    # nothing to a name they do not know, Envoy's own patience would be two minutes.
    query_timeout_seconds: 2
    query_tries: 2
overload_manager:
  resource_monitors:
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
        max_active_downstream_connections: 20000
static_resources:
  listeners:
    - {{ include "gateway.listener" . | nindent 6 | trim }}
    - {{ include "gateway.listener.metrics" . | nindent 6 | trim }}
  clusters:
    - name: admin
      type: STATIC
      load_assignment:
        cluster_name: admin
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
    {{- range (include "gateway.issuers" . | fromJson).issuers }}
    - name: {{ .cluster }}
      type: STRICT_DNS
      connect_timeout: 5s
      dns_lookup_family: V4_PREFERRED
      {{- include "gateway.upstream" (list $ .cluster .) | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* watched: FILE → a file of the routes' ConfigMap; the kubelet replaces the whole folder at once */}}
{{- define "gateway.watched" -}}
resource_api_version: V3
path_config_source:
  path: /etc/waybill/routes/{{ . }}
  watched_directory: {path: /etc/waybill/routes}
{{- end -}}

{{/* resources: (list RESOURCE…) → the text of a file of xDS, whose version is its content's */}}
{{- define "gateway.resources" -}}
version_info: {{ . | toJson | sha256sum | trunc 16 | quote }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end -}}

{{/* buffer: $ → bytes of one request or answer that Envoy may hold */}}
{{- define "gateway.buffer" -}}
{{ max .Values.limits.requestBytes .Values.limits.responseBytes }}
{{- end -}}

{{- define "gateway.listener" -}}
name: gateway
address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
# An answer in one piece is held until its usage is read; a stream never is.
per_connection_buffer_limit_bytes: {{ include "gateway.buffer" . }}
filter_chains:
  - filters:
      - name: http
        typed_config:
          {{- include "gateway.http" . | nindent 10 }}
    {{- if .Values.tls.secretName }}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
        common_tls_context:
          alpn_protocols: [h2, http/1.1]
          tls_params: {tls_minimum_protocol_version: TLSv1_2}
          tls_certificate_sds_secret_configs:
            - name: certificate
              sds_config:
                resource_api_version: V3
                path_config_source: {path: /etc/waybill/gateway/certificate.yaml}
    {{- end }}
{{- end -}}

{{/* http: $ → the connection manager: limits against slow and hostile clients, filters, log */}}
{{- define "gateway.http" -}}
"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
stat_prefix: gateway
server_name: waybill
use_remote_address: true
xff_num_trusted_hops: {{ .Values.trustedHops }}
always_set_request_id_in_response: true
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
stream_idle_timeout: {{ .Values.timeouts.idle }}
request_headers_timeout: 10s
request_timeout: 300s
drain_timeout: 30s
common_http_protocol_options:
  idle_timeout: 600s
  headers_with_underscores_action: REJECT_REQUEST
http2_protocol_options:
  max_concurrent_streams: 200
  initial_stream_window_size: 1048576
  initial_connection_window_size: 4194304
rds:
  route_config_name: models
  config_source:
    {{- include "gateway.watched" "routes.yaml" | nindent 4 }}
# What a client's headers say of its tenant, its model or Envoy's retries counts for nothing.
early_header_mutation_extensions:
  - name: strip
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
      mutations:
        - remove: x-tenant
        - remove_on_match: {key_matcher: {prefix: x-llm-}}
        - remove_on_match: {key_matcher: {prefix: x-envoy-}}
http_filters:
  {{- include "gateway.filters" . | nindent 2 }}
local_reply_config:
  {{- include "gateway.errors" . | nindent 2 }}
access_log:
  - name: stdout
    typed_config:
      {{- include "gateway.accessLog" . | nindent 6 }}
{{- end -}}

{{/* listener.metrics: on 9902 what probes and Prometheus may read of the admin's pages, and no more */}}
{{- define "gateway.listener.metrics" -}}
name: metrics
address: {socket_address: {address: 0.0.0.0, port_value: 9902}}
ignore_global_conn_limit: true
filter_chains:
  - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: metrics
          route_config:
            virtual_hosts:
              - name: metrics
                domains: ["*"]
                routes:
                  - {match: {path: /live}, direct_response: {status: 200}}
                  {{- range list "/ready" "/stats/prometheus" }}
                  - match:
                      path: {{ . }}
                      headers: [{name: ":method", string_match: {exact: GET}}]
                    route: {cluster: admin}
                  {{- end }}
          http_filters:
            - name: router
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
{{- end -}}
