{{/*
import.job: (list $ COMPONENT BY) → the spec of the Job that runs `waybill sideload` inside. What it
is told is all in its arguments; credentials come from Secrets, and what BY says is in no name.
*/}}
{{- define "waybill.import.job" -}}
{{- $root := index . 0 -}}
{{- $import := $root.Values.import -}}
{{- $trust := include "waybill.import.trust" $root | fromYaml -}}
backoffLimit: 4
# For those who did not stay to see it end.
ttlSecondsAfterFinished: 86400
podFailurePolicy:
  rules:
    # A drained node counts for nothing.
    - {action: Ignore, onPodConditions: [{type: DisruptionTarget, status: "True"}]}
    # Again, from where it stopped: what can be retried, was interrupted or killed. No other code
    # gets better by itself.
    - action: FailJob
      # The schemas of 1.27 and 1.28 ask for it.
      onPodConditions: []
      onExitCodes: {containerName: import, operator: NotIn, values: [7, 130, 137, 143]}
template:
  metadata:
    labels:
      {{- include "waybill.podLabels" (list $root (index . 1) dict) | nindent 6 }}
    {{- with $trust.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- include "waybill.podSpec" (list $root $import) | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: import
        {{- include "waybill.ownImage" $root | nindent 8 }}
        args:
          {{- range concat (list "sideload") $import.args (include "waybill.import.to" $root | fromJsonArray) $trust.args }}
          - {{ . | quote }}
          {{- end }}
        securityContext:
          {{- include "waybill.containerSecurity" $root | nindent 10 }}
        env:
          {{- include "waybill.import.env" . | trim | nindent 10 }}
        resources:
          {{- toYaml $import.resources | nindent 10 }}
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
          {{- if $import.claim }}
          - {name: claim, mountPath: /mnt/source, readOnly: true}
          {{- end }}
          {{- if $import.existingSecret }}
          - {name: credentials, mountPath: /etc/waybill/source, readOnly: true}
          {{- end }}
          {{- if $trust.volume }}
          - {name: trust, mountPath: /etc/waybill/trust, readOnly: true}
          {{- end }}
          {{- include "waybill.caMount" $root | nindent 10 }}
    volumes:
      - {name: tmp, emptyDir: {}}
      {{- with $import.claim }}
      - name: claim
        persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
      {{- end }}
      {{- with $import.existingSecret }}
      - name: credentials
        projected:
          sources:
            - secret: {name: {{ . }}}
            # Of a Secret of the type kubernetes.io/dockerconfigjson.
            - secret: {name: {{ . }}, optional: true, items: [{key: .dockerconfigjson, path: config.json}]}
      {{- end }}
      {{- with $trust.volume }}
      - {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "waybill.caVolume" $root | nindent 6 }}
{{- end -}}

{{/* import.to: $ → the arguments that name the store, as JSON */}}
{{- define "waybill.import.to" -}}
{{- $reach := list "--to" (include "waybill.objectStore.url" .) "--endpoint" (include "waybill.objectStore.endpoint" .) -}}
{{- append $reach "--json" | toJson -}}
{{- end -}}

{{/* import.env: (list $ COMPONENT BY) → the environment: the store's keys, and where the source's are */}}
{{- define "waybill.import.env" -}}
{{- $root := index . 0 -}}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ include "waybill.objectStore.secret" (list $root "sideload") }}, key: {{ $key }}}}
{{- end }}
- {name: AWS_DEFAULT_REGION, value: {{ $root.Values.global.objectStore.region | quote }}}
- {name: AWS_EC2_METADATA_DISABLED, value: "true"}
- {name: HF_HUB_DISABLE_TELEMETRY, value: "1"}
- {name: HOME, value: /tmp}
- {name: PYTHONUNBUFFERED, value: "1"}
- {name: WAYBILL_BY, value: {{ index . 2 | quote }}}
- {name: WAYBILL_SOURCE_ROOTS, value: /mnt/source}
{{- if $root.Values.import.existingSecret }}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /etc/waybill/source/credentials}
- {name: DOCKER_CONFIG, value: /etc/waybill/source}
- {name: HF_TOKEN_PATH, value: /etc/waybill/source/hf-token}
- {name: NETRC, value: /etc/waybill/source/netrc}
{{- end }}
{{- include "waybill.caEnv" $root }}
{{- include "waybill.env" $root.Values.import.env }}
{{- end -}}

{{/*
import.trust: $ → {args, volume, annotations} as YAML: the trust policy of the hub holds for what is
loaded, too. Its text comes along in an annotation, so that it is today's and not the installed one.
*/}}
{{- define "waybill.import.trust" -}}
{{- $trust := .Values.modelHub.trust -}}
{{- $found := dict "args" list -}}
{{- if $trust.policy -}}
{{- $field := dict "fieldPath" "metadata.annotations['waybill.dev/trust']" -}}
{{- $items := list (dict "path" "trust.yaml" "fieldRef" $field) -}}
{{- $found = dict "args" (list "--trust" "/etc/waybill/trust/trust.yaml")
      "volume" (dict "name" "trust" "downwardAPI" (dict "items" $items))
      "annotations" (dict "waybill.dev/trust" $trust.policy) -}}
{{- else if $trust.existingConfigMap -}}
{{- $found = dict "args" (list "--trust" (printf "/etc/waybill/trust/%s" $trust.key))
      "volume" (dict "name" "trust" "configMap" (dict "name" $trust.existingConfigMap)) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}
