{{/*
What every request passes, in this order: who it is, how often, how large, for which model. What
stands first costs least, so nothing is read of a caller who is refused.
*/}}

{{- define "gateway.filters" -}}
{{- if .Values.auth.enabled }}
- name: identity
  typed_config:
    {{- include "gateway.filters.identity" . | nindent 4 }}
{{- end }}
- name: rate
  typed_config:
    {{- include "gateway.filters.rate" . | nindent 4 }}
- name: size
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit
    max_request_bytes: {{ .Values.limits.requestBytes | int64 }}
- name: body
  typed_config:
    {{- include "gateway.filters.body" . | nindent 4 }}
- name: stream
  typed_config:
    {{- include "gateway.filters.stream" . | nindent 4 }}
# These two do something on the routes to servers outside alone: the model gets the name that its
# server knows, and a body that could not be written so, since it holds a key twice, is refused.
- name: rename
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.transform.v3.TransformConfig
- name: renamed
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
- name: router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    suppress_envoy_headers: true
{{- end -}}

{{/* identity: $ → a signed token of any of the issuers, in the header and nowhere else */}}
{{- define "gateway.filters.identity" -}}
{{- $issuers := (include "gateway.issuers" . | fromJson).issuers -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
providers:
  {{- range $issuers }}
  {{ .name | quote }}:
    issuer: {{ .issuer | quote }}
    audiences: [{{ .audience | quote }}]
    require_expiration: true
    from_headers: [{name: Authorization, value_prefix: "Bearer "}]
    payload_in_metadata: claims
    claim_to_headers: [{header_name: x-tenant, claim_name: {{ $.Values.auth.tenantClaim | quote }}}]
    remote_jwks:
      http_uri: {uri: {{ .jwksUri | quote }}, cluster: {{ .cluster }}, timeout: 5s}
      # A new key of the issuer is known after a minute at most.
      cache_duration: 60s
      # The listener is there after the first answer of the issuer, be it a failure: the first
      # requests to a new pod wait for no keys. That the main issuer's are there asks started.sh.
      async_fetch: {fast_listener: false, failed_refetch_duration: 2s}
  {{- end }}
rules:
  - match: {prefix: /}
    requires:
      {{- if eq (len $issuers) 1 }}
      provider_name: {{ (first $issuers).name | quote }}
      {{- else }}
      requires_any:
        requirements:
          {{- range $issuers }}
          - provider_name: {{ .name | quote }}
          {{- end }}
      {{- end }}
{{- end -}}

{{/* bucket: NUMBER → so many requests a minute, refilled bit by bit */}}
{{- define "gateway.bucket" -}}
{max_tokens: {{ int64 . }}, tokens_per_fill: {{ int64 . }}, fill_interval: 60s}
{{- end -}}

{{/* rate: $ → requests a minute of each tenant, in each pod; who has no tenant shares one bucket */}}
{{- define "gateway.filters.rate" -}}
{{- $limits := .Values.limits -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
stat_prefix: rate
token_bucket: {{ include "gateway.bucket" $limits.requestsPerMinute }}
always_consume_default_token_bucket: false
# The least recently seen tenant beyond these starts with a full bucket again.
max_dynamic_descriptors: 10000
rate_limits:
  - actions: [{request_headers: {header_name: x-tenant, descriptor_key: tenant}}]
descriptors:
  {{- range $tenant, $limit := $limits.tenants }}
  - entries: [{key: tenant, value: {{ $tenant | quote }}}]
    token_bucket: {{ include "gateway.bucket" $limit.requestsPerMinute }}
  {{- end }}
  - entries: [{key: tenant}]
    token_bucket: {{ include "gateway.bucket" $limits.requestsPerMinute }}
filter_enabled: {default_value: {numerator: 100}}
filter_enforced: {default_value: {numerator: 100}}
enable_x_ratelimit_headers: DRAFT_VERSION_03
enable_retry_after_header: true
{{- end -}}

{{/* usage: → what an answer says it cost, in vLLM's and OpenAI's words, and in those of /v1/responses */}}
{{- define "gateway.usage" -}}
{{- range $key, $fields := dict "prompt" (list "prompt_tokens" "input_tokens") "completion" (list "completion_tokens" "output_tokens") }}
{{- range $fields }}
- selectors: [{key: usage}, {key: {{ . }}}]
  on_present: {metadata_namespace: waybill, key: {{ $key }}, type: NUMBER}
{{- end }}
{{- end }}
{{- end -}}

{{/* json: Envoy compares the whole header, so each spelling that clients use has to stand here */}}
{{- define "gateway.json" -}}
allow_content_types:
  - application/json
  {{- range list "; charset=utf-8" ";charset=utf-8" "; charset=UTF-8" ";charset=UTF-8" }}
  - application/json{{ . }}
  {{- end }}
{{- end -}}

{{/* body: $ → the model by a parser, never by a pattern: a "model" deeper down is not one */}}
{{- define "gateway.filters.body" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata
request_rules:
  {{- include "gateway.json" . | nindent 2 }}
  rules:
    - selectors: [{key: model}]
      on_present: {metadata_namespace: waybill, key: model, type: STRING}
      on_missing: {metadata_namespace: waybill, key: problem, value: model_missing}
      on_error: {metadata_namespace: waybill, key: problem, value: invalid_json}
response_rules:
  {{- include "gateway.json" . | nindent 2 }}
  rules:
    {{- include "gateway.usage" . | nindent 4 }}
{{- end -}}

{{/* stream: $ → the usage that the last event of a stream tells, if the client asked for it */}}
{{- define "gateway.filters.stream" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata
response_rules:
  content_parser:
    name: json
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.content_parsers.json.v3.JsonContentParser
      rules:
        {{- range (include "gateway.usage" . | fromYamlArray) }}
        - rule: {{ toJson . }}
        {{- end }}
{{- end -}}
