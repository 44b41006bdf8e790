{{/*
realm: $ → the realm as Keycloak's own representation, as YAML. ${NAME} is filled in by the Job from
its environment. Everything is found by its name and brought to what stands here; whatever else a
person makes in the realm stays.
*/}}
{{- define "keycloak.realm" -}}
{{- $audiences := .Values.global.oidc.audiences -}}
{{- $groups := list "reader" "publisher" "promoter" "admin" -}}
realm: {{ include "waybill.keycloak.realm" . | quote }}
enabled: true
displayName: Waybill
sslRequired: external
registrationAllowed: false
resetPasswordAllowed: false
bruteForceProtected: true
failureFactor: 10
waitIncrementSeconds: 60
maxFailureWaitSeconds: 900
# A token outlives its user's lock by no more than this.
accessTokenLifespan: 600
ssoSessionIdleTimeout: 3600
ssoSessionMaxLifespan: 43200
eventsEnabled: true
eventsExpiration: 7776000
adminEventsEnabled: true
attributes: {adminEventsExpiration: "7776000"}
roles:
  realm:
    - {name: reader, description: Reads models and asks them}
    - {name: publisher, description: Brings new models}
    - {name: promoter, description: Moves models on to the next environment}
    - {name: admin, description: Manages the platform}
groups:
  {{- range $groups }}
  - {name: {{ . }}, realmRoles: [{{ . }}]}
  {{- end }}
clientScopes:
  {{- range $name := list "hub" "gateway" }}
  - name: waybill-{{ $name }}
    description: The audience of the {{ if eq $name "hub" }}model hub{{ else }}gateway{{ end }}
    protocol: openid-connect
    attributes: {include.in.token.scope: "true", display.on.consent.screen: "false"}
    protocolMappers:
      - name: audience
        protocol: openid-connect
        protocolMapper: oidc-audience-mapper
        config:
          included.custom.audience: {{ get $audiences $name | quote }}
          access.token.claim: "true"
          introspection.token.claim: "true"
          id.token.claim: "false"
  {{- end }}
  - name: waybill-groups
    description: The user's groups
    protocol: openid-connect
    attributes: {include.in.token.scope: "true", display.on.consent.screen: "false"}
    protocolMappers:
      - name: groups
        protocol: openid-connect
        protocolMapper: oidc-group-membership-mapper
        config:
          claim.name: {{ .Values.global.oidc.groupsClaim | quote }}
          full.path: "false"
          access.token.claim: "true"
          introspection.token.claim: "true"
          id.token.claim: "true"
          userinfo.token.claim: "true"
clients:
  {{- $scopes := list "basic" "acr" "waybill-hub" "waybill-gateway" "waybill-groups" }}
  - clientId: {{ $audiences.hub | quote }}
    name: The model hub
    description: Checks tokens and asks for none
    bearerOnly: true
    publicClient: false
    standardFlowEnabled: false
    directAccessGrantsEnabled: false
    serviceAccountsEnabled: false
  - clientId: ${WAYBILL_GATEWAY_CLIENT_ID}
    secret: ${WAYBILL_GATEWAY_CLIENT_SECRET}
    name: The gateway
    description: A service that signs in as itself
    publicClient: false
    serviceAccountsEnabled: true
    standardFlowEnabled: false
    directAccessGrantsEnabled: false
    # No roles: with them a token would also open the user's account to whoever it is shown to.
    fullScopeAllowed: false
    defaultClientScopes: {{ concat $scopes (list "service_account") | toJson }}
  - clientId: waybill-cli
    name: The command line
    description: A person signs in with a browser, on this machine or another
    publicClient: true
    standardFlowEnabled: false
    directAccessGrantsEnabled: false
    serviceAccountsEnabled: false
    fullScopeAllowed: false
    attributes:
      oauth2.device.authorization.grant.enabled: "true"
      pkce.code.challenge.method: S256
    defaultClientScopes: {{ concat $scopes (list "profile" "email") | toJson }}
{{- end -}}

{{/* realmJson: $ → what the Job reads: the above with keycloak.realm laid over it */}}
{{- define "keycloak.realmJson" -}}
{{- $realm := include "waybill.yaml" (list "Keycloak's realm" (include "keycloak.realm" .)) | fromYaml -}}
{{- $named := pick .Values.realm "realm" "roles" "groups" "clientScopes" "clients" -}}
{{- if $named -}}
{{- fail (printf "keycloak.realm sets %s, which the chart keeps itself: make your own in Keycloak, where they stay" (keys $named | sortAlpha | join ", ")) -}}
{{- end -}}
{{- /* Not merge, for which false is nothing. */ -}}
{{- range $key, $value := .Values.realm }}{{ $_ := set $realm $key $value }}{{ end -}}
{{- $realm | toJson -}}
{{- end -}}
