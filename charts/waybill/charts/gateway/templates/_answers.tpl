{{/* errors: every answer of the gateway itself has the shape of OpenAI's errors */}}
{{- define "gateway.errors" -}}
mappers:
  {{- range list
        (list 400 "invalid_request_error" "%ROUTE_NAME%")
        (list 401 "invalid_request_error" "invalid_token")
        (list 403 "invalid_request_error" "forbidden")
        (list 404 "invalid_request_error" "%ROUTE_NAME%")
        (list 405 "invalid_request_error" "%ROUTE_NAME%")
        (list 408 "invalid_request_error" "request_timeout")
        (list 413 "invalid_request_error" "request_too_large")
        (list 429 "rate_limit_error" "rate_limit_exceeded")
        (list 431 "invalid_request_error" "headers_too_large")
        (list 500 "server_error" "gateway_error")
        (list 502 "server_error" "engine_protocol_error")
        (list 503 "server_error" "model_unavailable")
        (list 504 "server_error" "engine_timeout") }}
  - filter: {{ include "gateway.status" (list "EQ" (first .)) }}
    body_format_override:
      {{- if eq (first .) 503 }}
      json_format: {error: {message: "no engine of this model answers: %LOCAL_REPLY_BODY%", type: {{ index . 1 }}, param: null, code: {{ index . 2 | quote }}}}
      {{- else }}
      json_format: {error: {message: "%LOCAL_REPLY_BODY%", type: {{ index . 1 }}, param: null, code: {{ index . 2 | quote }}}}
      {{- end }}
    {{- if eq (first .) 503 }}
    headers_to_add: [{header: {key: retry-after, value: "5"}}]
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "gateway.status" -}}
{status_code_filter: {comparison: {op: {{ index . 0 }}, value: {default_value: {{ index . 1 }}, runtime_key: unused}}}}
{{- end -}}

{{/* accessLog: one JSON object a request; no bodies, no tokens, no query */}}
{{- define "gateway.accessLog" -}}
"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
log_format:
  json_format_options: {sort_properties: false}
  json_format:
    time: "%START_TIME%"
    request: "%STREAM_ID%"
    tenant: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:{{ .Values.auth.tenantClaim | replace "." ":" }})%"
    client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    method: "%REQ(:METHOD)%"
    path: "%PATH(NQ)%"
    model: "%DYNAMIC_METADATA(waybill:model):128%"
    revision: "%UPSTREAM_METADATA(waybill:revision)%"
    cluster: "%UPSTREAM_CLUSTER%"
    engine: "%UPSTREAM_HOST%"
    attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
    code: "%RESPONSE_CODE%"
    flags: "%RESPONSE_FLAGS%"
    details: "%RESPONSE_CODE_DETAILS%"
    duration_ms: "%DURATION%"
    first_byte_ms: "%RESPONSE_DURATION%"
    prompt_tokens: "%DYNAMIC_METADATA(waybill:prompt)%"
    completion_tokens: "%DYNAMIC_METADATA(waybill:completion)%"
    bytes_in: "%BYTES_RECEIVED%"
    bytes_out: "%BYTES_SENT%"
{{- end -}}
