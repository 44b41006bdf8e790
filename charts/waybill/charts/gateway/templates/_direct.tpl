{{/* Routes that no engine sees: the gateway answers them by itself. */}}

{{/* listing: MODELS → GET /v1/models and /v1/models/{id}, as OpenAI answers them */}}
{{- define "gateway.routes.listing" -}}
{{- $all := list -}}
{{- range . -}}
{{- range .names -}}
{{- $all = append $all (dict "id" . "object" "model" "created" 0 "owned_by" "waybill") -}}
{{- end -}}
{{- end -}}
{{- include "gateway.routes.json" (list "/v1/models" (dict "object" "list" "data" $all)) }}
{{- range $all }}
{{ include "gateway.routes.json" (list (printf "/v1/models/%s" .id) .) }}
{{- end }}
{{- end -}}

{{/* json: (list PATH VALUE) → GET of the path answers the value */}}
{{- define "gateway.routes.json" -}}
- match:
    path: {{ index . 0 | quote }}
    headers: [{name: ":method", string_match: {exact: GET}}]
  direct_response:
    status: 200
    body: {inline_string: {{ index . 1 | toJson | quote }}}
  response_headers_to_add:
    - header: {key: content-type, value: application/json}
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
{{- end -}}

{{/* refused: $ → what no engine gets to see */}}
{{- define "gateway.routes.refused" -}}
- name: model_not_found
  match: {prefix: /v1/models/, headers: [{name: ":method", string_match: {exact: GET}}]}
  direct_response: {status: 404, body: {inline_string: "this model does not exist here: GET /v1/models lists those that do"}}
- name: not_found
  match:
    prefix: /
    headers:
      - name: ":path"
        string_match: {safe_regex: {regex: {{ printf "%s(\\?.*)?" (include "gateway.paths" .) | quote }}}}
        invert_match: true
  direct_response: {status: 404, body: {inline_string: "there is nothing at this address: see /v1/models, /v1/chat/completions"}}
- name: method_not_allowed
  match:
    prefix: /
    headers: [{name: ":method", string_match: {exact: POST}, invert_match: true}]
  direct_response: {status: 405, body: {inline_string: "use POST here"}}
  response_headers_to_add: [{header: {key: allow, value: POST}}]
{{- range $problem, $sentence := dict
      "invalid_json" "send a body of JSON, with Content-Type: application/json"
      "model_missing" "name the model: it is a text under the key model, at the top level of the body" }}
- name: {{ $problem }}
  match:
    prefix: /
    dynamic_metadata:
      - {{ include "gateway.routes.metadata" (list "problem" $problem) | nindent 8 | trim }}
  direct_response: {status: 400, body: {inline_string: "{{ $sentence }}"}}
{{- end }}
{{- end -}}
