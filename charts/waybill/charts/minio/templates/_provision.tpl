{{/*
minio.provision: $ → the spec of the Job that gives MinIO its bucket and users, and then makes the
bucket a store with the keys of the sideload user alone. Both steps may run again at any time.
*/}}
{{- define "minio.provision" -}}
{{- $reach := list (include "waybill.objectStore.url" .) "--endpoint" (include "waybill.objectStore.endpoint" .) -}}
backoffLimit: 1000
template:
  metadata:
    labels:
      {{- include "waybill.podLabels" (list . "minio-provision" .Values) | nindent 6 }}
  spec:
    {{- include "waybill.podSpec" (list . (omit .Values "affinity")) | nindent 4 }}
    restartPolicy: OnFailure
    initContainers:
      - name: provision
        {{- include "waybill.ownImage" . | nindent 8 }}
        args: {{ concat (list "provision" "object-store") $reach (list "--credentials" "/etc/waybill/credentials") | toJson }}
        {{- include "minio.provision.container" . | nindent 8 }}
        {{- with include "waybill.caEnv" . }}
        env:
          {{- . | nindent 10 }}
        {{- end }}
        volumeMounts:
          - {name: credentials, mountPath: /etc/waybill/credentials, readOnly: true}
          {{- include "waybill.caMount" . | nindent 10 }}
    containers:
      - name: store
        {{- include "waybill.ownImage" . | nindent 8 }}
        args: {{ concat (list "store" "init") $reach | toJson }}
        {{- include "minio.provision.container" . | nindent 8 }}
        env:
          {{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
          - name: {{ $key }}
            valueFrom: {secretKeyRef: {name: {{ include "waybill.objectStore.secret" (list $ "sideload") }}, key: {{ $key }}}}
          {{- end }}
          - {name: AWS_DEFAULT_REGION, value: {{ .Values.global.objectStore.region | quote }}}
          - {name: AWS_EC2_METADATA_DISABLED, value: "true"}
          {{- include "waybill.caEnv" . | nindent 10 }}
        {{- with include "waybill.caMount" . }}
        volumeMounts:
          {{- . | nindent 10 }}
        {{- end }}
    volumes:
      - name: credentials
        projected:
          sources:
            - secret:
                name: {{ include "waybill.secretName" (list . "minio-root" .Values.existingSecret) }}
                items:
                  - {key: MINIO_ROOT_USER, path: root/AWS_ACCESS_KEY_ID}
                  - {key: MINIO_ROOT_PASSWORD, path: root/AWS_SECRET_ACCESS_KEY}
            {{- range $user := list "hub" "sideload" "promote" "prune" }}
            - secret:
                name: {{ include "waybill.objectStore.secret" (list $ $user) }}
                items:
                  {{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
                  - {key: {{ $key }}, path: {{ $user }}/{{ $key }}}
                  {{- end }}
            {{- end }}
      {{- include "waybill.caVolume" . | nindent 6 }}
{{- end -}}

{{- define "minio.provision.container" -}}
securityContext:
  {{- include "waybill.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .Values.provision.resources | nindent 2 }}
{{- end -}}
