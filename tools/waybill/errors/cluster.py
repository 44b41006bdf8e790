"""Failures of clusters, of Helm and of what runs there."""

from __future__ import annotations

from waybill.errors.base import BadFile, Interrupted, WaybillError


class ClusterUnreachable(WaybillError):
    """The API server does not answer, or there is no kubeconfig that leads to one."""

    sentence = "the cluster {where} cannot be reached: {why}"
    hint = "check kubeContext in values/environments.yaml, KUBECONFIG and the network"
    exit_code = 7
    status = 503


class ClusterForbidden(WaybillError):
    """The API server refuses what these credentials ask for."""

    sentence = "the cluster {where} refuses to {what}: {why}"
    hint = "ask for a role that allows it, or use another kubeContext"
    exit_code = 1


class HelmMissing(WaybillError):
    """There is no helm to call."""

    sentence = "helm is not there: {why}"
    hint = "install Helm 3.14 or newer, or name the program: WAYBILL_HELM=/path/to/helm"
    exit_code = 2


class NoChart(BadFile):
    """There is no chart where it is looked for."""

    sentence = "there is no chart at {path}"
    hint = (
        "stand in the clone, which has values/ and charts/ beside each other, or say where they "
        "are: --project DIR, --chart PATH"
    )
    exit_code = 2


class BadEngineArguments(WaybillError):
    """Arguments that would keep an engine from starting."""

    sentence = "the values give engines what vLLM would refuse: {findings}"
    hint = "correct the engineArgs that are named"
    exit_code = 2


class HelmFailed(WaybillError):
    """Helm refused the values, or could not carry the release out."""

    sentence = "helm {what} failed: {why}"
    hint = "correct what the sentence names, then run the command again"
    exit_code = 1


class ReleasePending(WaybillError):
    """Helm was ended before it could say how its work ended, and refuses to go on by itself."""

    sentence = "{release} in {namespace} is {status}: helm is at work on it, or was killed at it"
    hint = (
        "if no helm is at work on it any more: helm {undo} {release} --namespace {namespace}, "
        "then run the command again"
    )
    exit_code = 1


class RolloutFailed(WaybillError):
    """The release is applied, but what it runs does not become ready."""

    sentence = "{release} in {namespace} did not become ready: {why}"
    hint = (
        "mend what is named above and run the command again; "
        "helm rollback {release} --namespace {namespace} undoes it"
    )
    exit_code = 1


class ImportFailed(WaybillError):
    """A Job that loads a model inside the cluster has ended badly, or cannot begin."""

    sentence = "the import {job} in {namespace} failed: {why}"
    hint = "{advice}"
    exit_code = 1


class ImportGoesOn(Interrupted):
    """The user stopped watching an import, which does not stop by that."""

    sentence = "the import goes on in the cluster, as the Job {job} in {namespace}"
    hint = (
        "run the same command again to watch it; "
        "kubectl delete job {job} --namespace {namespace} ends it"
    )


class NamespaceMissing(WaybillError):
    """The namespace has to be there before anything is put into it."""

    sentence = "the cluster {where} has no namespace {namespace}"
    hint = "kubectl create namespace {namespace}, or correct the name"
    exit_code = 2


class ExtraMissing(WaybillError):
    """A package that only some commands need is not installed."""

    sentence = "{what} needs the package {package}, which is not installed"
    hint = "install waybill[{extra}]"
    exit_code = 2


class SecretLacksKeys(WaybillError):
    """A Secret that is there is never changed, so what it lacks has to be added by hand."""

    sentence = "the Secret {name} is there, but lacks {keys}"
    hint = "add them: kubectl edit secret {name}; it is left alone, because what runs relies on it"
    exit_code = 2


class KeycloakUnreachable(WaybillError):
    """Keycloak does not answer, or answers that it cannot now."""

    sentence = "Keycloak at {url} cannot be reached: {why}"
    hint = "look at its pods and their log, then run the command again: it goes on from there"
    exit_code = 7
    status = 503


class KeycloakRefused(WaybillError):
    """Keycloak does not let this administrator do it, or does not take what the realm says."""

    sentence = "Keycloak at {url} refuses {what}: {why}"
    hint = "check the Secret with its administrator's password, and keycloak.realm in the values"
    exit_code = 1
