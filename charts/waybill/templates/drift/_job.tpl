{{/* drift.job: $ → the spec of one look: it fails where something differs, and says what in its log */}}
{{- define "waybill.drift.job" -}}
{{- $drift := .Values.drift -}}
{{- $name := include "waybill.name" (list . "drift") -}}
backoffLimit: 0
# Its pod may have to wait for a node and for the image; then come the cluster's lists, the questions to
# the hub, to which it gives 7 minutes, and 3 for Prometheus.
activeDeadlineSeconds: 900
template:
  metadata:
    labels:
      {{- include "waybill.podLabels" (list . "drift" dict) | nindent 6 }}
  spec:
    {{- include "waybill.podSpec" (list . $drift) | nindent 4 }}
    serviceAccountName: {{ $name }}
    restartPolicy: Never
    containers:
      - name: drift
        {{- include "waybill.ownImage" . | nindent 8 }}
        args:
          - drift
          - --expected=/etc/waybill/expected.yaml
          - --namespace={{ .Release.Namespace }}
          - --release={{ .Release.Name }}
          - --detailed-exitcode
          {{- if .Values.modelHub.enabled }}
          - --hub={{ include "waybill.hub.url" . }}
          {{- range include "waybill.pins" . | fromJson }}
          {{- range .revisions }}
          - --pinned={{ .repo }}@{{ .digest }}
          {{- end }}
          {{- end }}
          {{- end }}
          {{- if .Values.monitoring.podMonitors.enabled }}
          # It stays until Prometheus has come by.
          - --metrics-port=9090
          {{- end }}
        securityContext:
          {{- include "waybill.containerSecurity" . | nindent 10 }}
        ports:
          - {name: metrics, containerPort: 9090}
        resources:
          {{- toYaml $drift.resources | nindent 10 }}
        volumeMounts:
          - {name: expected, mountPath: /etc/waybill, readOnly: true}
          - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    volumes:
      - name: expected
        configMap: {name: {{ $name }}}
      - name: token
        projected:
          sources:
            - serviceAccountToken: {path: token, expirationSeconds: 3600}
            - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end -}}
