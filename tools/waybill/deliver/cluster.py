"""The only module that talks to Kubernetes. Its client is imported when it is first needed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from waybill.deliver.rollout import Object
from waybill.errors import (
    ClusterForbidden,
    ClusterUnreachable,
    ExtraMissing,
    NamespaceMissing,
    PodSilent,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.client.exceptions import ApiException

Answer = TypeVar("Answer")

_TIMEOUT = (5, 30)
"""Seconds to connect, and to wait for an answer."""
_NAMESPACED = "/namespaces/{namespace}/"
_KINDS = {
    "configmaps": ("/api/v1" + _NAMESPACED + "configmaps", "ConfigMap"),
    "cronjobs": ("/apis/batch/v1" + _NAMESPACED + "cronjobs", "CronJob"),
    "deployments": ("/apis/apps/v1" + _NAMESPACED + "deployments", "Deployment"),
    "ingresses": ("/apis/networking.k8s.io/v1" + _NAMESPACED + "ingresses", "Ingress"),
    "jobs": ("/apis/batch/v1" + _NAMESPACED + "jobs", "Job"),
    "networkpolicies": (
        "/apis/networking.k8s.io/v1" + _NAMESPACED + "networkpolicies",
        "NetworkPolicy",
    ),
    "nodes": ("/api/v1/nodes", "Node"),
    "persistentvolumeclaims": (
        "/api/v1" + _NAMESPACED + "persistentvolumeclaims",
        "PersistentVolumeClaim",
    ),
    "poddisruptionbudgets": (
        "/apis/policy/v1" + _NAMESPACED + "poddisruptionbudgets",
        "PodDisruptionBudget",
    ),
    "pods": ("/api/v1" + _NAMESPACED + "pods", "Pod"),
    "priorityclasses": ("/apis/scheduling.k8s.io/v1/priorityclasses", "PriorityClass"),
    "secrets": ("/api/v1" + _NAMESPACED + "secrets", "Secret"),
    "services": ("/api/v1" + _NAMESPACED + "services", "Service"),
    "statefulsets": ("/apis/apps/v1" + _NAMESPACED + "statefulsets", "StatefulSet"),
    "storageclasses": ("/apis/storage.k8s.io/v1/storageclasses", "StorageClass"),
}
_IN_POD = "KUBERNETES_SERVICE_HOST"
_ABSENT, _EXISTS, _TOO_MANY = 404, 409, 429


class Cluster:
    """One namespace of a cluster: of a kubeconfig's context, or that of the pod we run in.

    Cheap to make; nothing is read before it is needed. Every method raises ClusterUnreachable,
    ClusterForbidden, NamespaceMissing or ExtraMissing.
    """

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self.namespace, self._context = namespace, context
        self._inside = context is None and _IN_POD in os.environ and not _has_kubeconfig()
        named = f"of the context {context}" if context else "of the current context"
        self.where = "that this pod runs in" if self._inside else named

    @cached_property
    def _api(self) -> ApiClient:
        if find_spec("kubernetes") is None:
            raise ExtraMissing(what="talking to a cluster", package="kubernetes", extra="cluster")
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
        from yaml import YAMLError

        settings = client.Configuration()
        try:
            if self._inside:
                config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
            else:
                # Named, for the client remembers what the variable said when it was imported.
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    os.environ.get("KUBECONFIG"), self._context, settings
                )
        except (ConfigException, OSError) as error:
            raise ClusterUnreachable(where=self.where, why=str(error)) from error
        except (YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
            # The client reads a kubeconfig without a look at its form.
            why = f"its kubeconfig is malformed: {' '.join(str(error).split())}"
            raise ClusterUnreachable(where=self.where, why=why) from error
        return client.ApiClient(settings)

    @cached_property
    def _core(self) -> CoreV1Api:
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self._api)

    def secret_keys(self, name: str) -> frozenset[str] | None:
        """The keys of a Secret, never its values; None when there is no such Secret."""
        found = self._ask(
            f"read the Secret {name}",
            lambda: self._core.read_namespaced_secret(
                name, self.namespace, _request_timeout=_TIMEOUT
            ),
            unless=_ABSENT,
        )
        return None if found is None else frozenset(found.data or {})

    def create_secret(
        self,
        name: str,
        data: Mapping[str, str],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> bool:
        """False when there is one already: it is left as it is."""
        core = self._core
        from kubernetes.client import V1ObjectMeta, V1Secret

        about = V1ObjectMeta(name=name, labels={**labels}, annotations={**annotations})
        body = V1Secret(metadata=about, string_data={**data})
        made = self._ask(
            f"create the Secret {name}",
            lambda: core.create_namespaced_secret(self.namespace, body, _request_timeout=_TIMEOUT),
            unless=_EXISTS,
        )
        return made is not None

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        """Objects as the API gives them, as dicts: of the namespace, or cluster-wide ones."""
        path, name = _KINDS[kind]
        path = path.format(namespace=self.namespace)
        found = self._read(f"list {kind}", path, labelSelector=selector)
        return [{"kind": name, **each} for each in json.loads(found)["items"]]

    def create(self, kind: str, body: Object) -> bool:
        """False when there is one of this name already: it is left as it is."""
        path, name = _KINDS[kind]
        what = f"create the {name} {body['metadata']['name']}"
        path = path.format(namespace=self.namespace)
        return bool(self._answer(what, path, "POST", body, unless=_EXISTS)[0])

    def delete(self, kind: str, name: str) -> None:
        """With all that it owns, which may take a moment longer; it may have gone already."""
        path = f"{_KINDS[kind][0].format(namespace=self.namespace)}/{name}"
        body = {"propagationPolicy": "Background"}
        self._answer(f"delete the {_KINDS[kind][1]} {name}", path, "DELETE", body, unless=_ABSENT)

    def events(self, name: str) -> list[Object]:
        """What happened to the object of this name, the newest last."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = self._read("list events", path, fieldSelector=f"involvedObject.name={name}")
        return sorted(json.loads(found)["items"], key=_time)

    def log(self, pod: str, container: str, lines: int) -> str:
        """A container's last lines, of its last run that said something; empty without any."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        for previous in ("true", "false"):
            with suppress(ClusterForbidden):  # no earlier run, or no run yet: 400
                tail = {"container": container, "tailLines": str(lines), "previous": previous}
                if said := self._read("read logs", path, **tail):
                    return said.decode(errors="replace")
        return ""

    def lines(self, pod: str, container: str, since: str) -> list[tuple[str, str]]:
        """Times and lines of a container's log that are later than `since`, one of these times."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        query = {"container": container, "timestamps": "true", "sinceTime": since}
        with suppress(ClusterForbidden):  # it does not run yet: 400
            said = self._read("read logs", path, **query).decode(errors="replace")
            stamped = [line.partition(" ") for line in said.splitlines()]
            return [(at, line) for at, _, line in stamped if at > since]
        return []

    def fetched(self, pod: str, port: int, path: str) -> str:
        """What a pod answers to a GET, by way of its kubelet, where no NetworkPolicy stands.

        Raises PodSilent.
        """
        core = self._core
        from http.client import HTTPConnection, HTTPException

        from kubernetes.client import ApiClient, CoreV1Api
        from kubernetes.stream import portforward

        # A client of its own: the call changes the one that it is given.
        own = CoreV1Api(ApiClient(core.api_client.configuration))
        ask = own.connect_get_namespaced_pod_portforward
        to = self._ask(
            f"reach the port {port} of the pod {pod}",
            lambda: portforward(ask, pod, self.namespace, ports=str(port)),
            unless=_ABSENT,
        )
        if to is None:
            raise PodSilent(pod=pod, path=path, port=port, why="it has gone")
        try:
            connection = HTTPConnection("localhost")
            connection.sock = to.socket(port)
            connection.sock.settimeout(_TIMEOUT[1])
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            why = to.error(port) or str(error) or type(error).__name__
            raise PodSilent(pod=pod, path=path, port=port, why=why) from error
        finally:
            to.close()
        if answer.status >= 400:
            raise PodSilent(pod=pod, path=path, port=port, why=f"it says {answer.status}")
        return said

    def annotate(self, pod: str, key: str, value: str) -> None:
        """A pod that has gone meanwhile needs none."""
        body = {"metadata": {"annotations": {key: value}}}
        self._ask(
            f"annotate the pod {pod}",
            lambda: self._core.patch_namespaced_pod(
                pod, self.namespace, body, _request_timeout=_TIMEOUT
            ),
            unless=_ABSENT,
        )

    def version(self) -> tuple[int, int]:
        """Major and minor of the API server."""
        found = json.loads(self._read("read the version", "/version"))
        return int(found["major"]), int(re.sub(r"\D.*", "", found["minor"]))

    def clock(self) -> datetime | None:
        """The API server's time, where its answers carry one."""
        _, date = self._answer("read the version", "/version")
        return parsedate_to_datetime(date) if date else None

    def allowed(self, verb: str, group: str, resource: str) -> bool:
        """May these credentials do it in the namespace? A resource may be `pods/log`."""
        resource, _, part = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": self.namespace}
        body = {"spec": {"resourceAttributes": {**asked, "subresource": part}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        found, _ = self._answer("review access", path, "POST", body)
        return bool(json.loads(found)["status"]["allowed"])

    def kinds(self, version: str) -> frozenset[str]:
        """The kinds of an API, as `v1` or `apps/v1`; none where the cluster has no such API."""
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        found, _ = self._answer("list kinds", path, absent=b'{"resources": []}')
        return frozenset(each["kind"] for each in json.loads(found)["resources"])

    def lacks_namespace(self) -> bool:
        """Is it certain that there is no such namespace? Who may not ask has rights in it alone."""
        try:
            path = f"/api/v1/namespaces/{self.namespace}"
            return self._answer("read the namespace", path, absent=b"")[0] == b""
        except ClusterForbidden:
            return False

    def _read(self, what: str, path: str, **query: str) -> bytes:
        return self._answer(what, path, query=query)[0]

    def _answer(
        self,
        what: str,
        path: str,
        method: str = "GET",
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        absent: bytes | None = None,
        unless: int = 0,
    ) -> tuple[bytes, str | None]:
        """Body and date of the answer as they came: models would cost time, and lose fields.

        `absent` is the body where there is nothing at this path, which fails without it. The body
        is empty where the server answers with the status `unless`.
        """

        def call() -> tuple[bytes, str | None]:
            from kubernetes.client.exceptions import ApiException

            request = self._api.param_serialize(
                method,
                path,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params={"Content-Type": "application/json", "Accept": "*/*"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._api.call_api(*request, _request_timeout=_TIMEOUT)
            said: bytes = answer.read()  # type: ignore[no-untyped-call]
            if answer.status >= 300:
                raise ApiException(http_resp=answer, body=said.decode(errors="replace"))
            return said, answer.headers.get("Date")

        found = self._ask(what, call, unless=unless if absent is None else _ABSENT)
        return found or (absent or b"", None)

    def _ask(self, what: str, call: Callable[[], Answer], *, unless: int) -> Answer | None:
        """The answer, or None where the server answers with the status `unless`."""
        _ = self._api
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except ApiException as error:
            if _status(error) == unless:
                return None
            raise self._refused(what, error) from error
        except HTTPError as error:
            raise ClusterUnreachable(where=self.where, why=_cause(error)) from error

    def _refused(self, what: str, error: ApiException) -> Exception:
        why, status = _message(error), _status(error)
        if status == _ABSENT and "namespaces" in why:
            return NamespaceMissing(where=self.where, namespace=self.namespace)
        if 400 <= status < 500 and status != _TOO_MANY:
            return ClusterForbidden(where=self.where, what=what, why=why)
        return ClusterUnreachable(where=self.where, why=why)


def _has_kubeconfig() -> bool:
    """What Helm goes by, too: it and we must mean the same cluster."""
    home = Path(os.environ.get("HOME", "/"), ".kube/config")
    return bool(os.environ.get("KUBECONFIG")) or os.access(home, os.R_OK)


def _time(event: Object) -> str:
    """Of its last occurrence, to the second: reporters differ in the field, and in what follows."""
    said = event.get("lastTimestamp") or event.get("eventTime")
    return str(said or event["metadata"].get("creationTimestamp", ""))[:19]


def _message(error: ApiException) -> str:
    """What the server says; the body of its answer is a Status object, mostly."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return f"{_status(error)} {error.reason}"


def _status(error: ApiException) -> int:
    """What the server answered; of a port that was to be forwarded, only the reason has it."""
    shaken = re.match(r"Handshake status (\d+)", str(error.reason))
    return error.status or int(shaken[1] if shaken else 0)


def _cause(error: BaseException) -> str:
    """The innermost reason: urllib3 wraps it in sentences about itself."""
    inner = getattr(error, "reason", None)
    return _cause(inner) if isinstance(inner, BaseException) else str(error)
