{{/* routes.yaml: who gets which request. Envoy watches the file, so weights move without a restart. */}}

{{- define "gateway.paths" -}}
/v1/(chat/completions|completions|embeddings|rerank|score|responses)
{{- end -}}

{{/* routes: $ → one RouteConfiguration; the first match wins */}}
{{- define "gateway.routes" -}}
{{- $models := (include "gateway.models" . | fromJson).models -}}
"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
name: models
# A list of many models is longer than the default of 4 KiB.
max_direct_response_body_size_bytes: 262144
virtual_hosts:
  - name: models
    domains: ["*"]
    # What has to be kept for another try.
    request_body_buffer_limit: {{ include "gateway.buffer" . }}
    # The caller's token is for the gateway alone.
    request_headers_to_remove: [authorization, cookie]
    response_headers_to_add:
      - header: {key: x-waybill-model-revision, value: "%UPSTREAM_METADATA(waybill:revision)%"}
        append_action: OVERWRITE_IF_EXISTS_OR_ADD
    retry_policy:
      {{- include "gateway.retries" . | nindent 6 }}
    routes:
      {{- include "gateway.routes.listing" $models | nindent 6 }}
      {{- include "gateway.routes.refused" . | nindent 6 }}
      {{- range $models }}
      {{- include "gateway.routes.model" (list $ .) | nindent 6 }}
      {{- end }}
      # The name of a route that answers by itself is the `code` of its error.
      - name: model_not_found
        match: {prefix: /}
        direct_response:
          status: 404
          body_format:
            text_format_source:
              inline_string: "the model %DYNAMIC_METADATA(waybill:model):128% does not exist here: GET /v1/models lists those that do"
{{- end -}}

{{/* retries: $ → only while nothing has been answered: Envoy never retries once it has sent a byte */}}
{{- define "gateway.retries" -}}
retry_on: connect-failure,refused-stream,reset,retriable-status-codes
retriable_status_codes: [503]
num_retries: {{ .Values.retries }}
retry_back_off: {base_interval: 0.1s, max_interval: 2s}
host_selection_retry_max_attempts: 3
retry_host_predicate:
  - name: envoy.retry_host_predicates.previous_hosts
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
# The second try of an aggregate goes to stable.
retry_priority:
  name: envoy.retry_priorities.previous_priorities
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
    update_frequency: 1
{{- end -}}

{{/* metadata: (list KEY VALUE…) → a matcher for any of the values of what was read from the body */}}
{{- define "gateway.routes.metadata" -}}
filter: waybill
path: [{key: {{ first . }}}]
value:
  or_match:
    value_matchers:
      # One more that never matches: Envoy wants two.
      - null_match: {}
      {{- range rest . }}
      - string_match: {exact: {{ . | quote }}}
      {{- end }}
{{- end -}}

{{/* model: (list $ MODEL) → the model's names by weight, and each revision by <model>@<8 hex> */}}
{{- define "gateway.routes.model" -}}
{{- $root := index . 0 -}}
{{- $model := index . 1 -}}
- name: {{ $model.name | quote }}
  match:
    prefix: /v1/
    dynamic_metadata:
      - {{ include "gateway.routes.metadata" (concat (list "model") $model.names) | nindent 8 | trim }}
  {{- if $model.external }}
  {{- include "gateway.routes.external" (list $root $model.external) | nindent 2 }}
  {{- else }}
  route:
    {{- include "gateway.routes.timeouts" $root | nindent 4 }}
    weighted_clusters:
      clusters:
        {{- range $model.slots }}
        {{- if .weight }}
        - {name: {{ .name | quote }}, weight: {{ .weight }}}
        {{- end }}
        {{- end }}
  {{- end }}
{{- range $model.revisions }}
- name: {{ .cluster | quote }}
  match:
    prefix: /v1/
    dynamic_metadata:
      - {{ include "gateway.routes.metadata" (list "model" .cluster) | nindent 8 | trim }}
  route:
    {{- include "gateway.routes.timeouts" $root | nindent 4 }}
    cluster: {{ .cluster | quote }}
{{- end }}
{{- end -}}

{{/* timeouts: $ → no end for an answer that goes on, one for silence */}}
{{- define "gateway.routes.timeouts" -}}
timeout: 0s
idle_timeout: {{ .Values.timeouts.idle }}
{{- end -}}

{{/* external: (list $ EXTERNAL) → the way out, with the name that the server knows the model by */}}
{{- define "gateway.routes.external" -}}
{{- $external := index . 1 -}}
request_headers_to_remove: [x-tenant, x-llm-model, x-forwarded-for, x-forwarded-proto, x-envoy-external-address]
route:
  {{- include "gateway.routes.timeouts" (index . 0) | nindent 2 }}
  cluster: {{ $external.cluster | quote }}
  prefix_rewrite: {{ $external.path }}/v1/
  host_rewrite_literal: {{ $external.authority | quote }}
typed_per_filter_config:
  rename:
    "@type": type.googleapis.com/envoy.extensions.filters.http.transform.v3.TransformConfig
    request_transformation:
      headers_mutations:
        - append:
            header: {key: x-llm-model, value: "%REQUEST_BODY(model)%"}
            append_action: OVERWRITE_IF_EXISTS_OR_ADD
      body_transformation:
        body_format: {json_format: {model: {{ $external.model | quote }}}}
  renamed:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
    rbac:
      rules:
        action: ALLOW
        policies:
          renamed:
            permissions: [{header: {name: x-llm-model, present_match: true}}]
            principals: [{any: true}]
{{- end -}}
