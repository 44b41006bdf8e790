"""Imports that run inside of a cluster: a Job of the chart that runs `waybill sideload`, followed.

The Job is the chart's, so that image, security, network and the way to the store are said in one
place. Its name follows from what it imports: who asks for the same meets the one that is at it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from waybill.deliver import rollout, watch
from waybill.deliver.helm import Helm
from waybill.deliver.redaction import redacted
from waybill.deliver.rollout import Object
from waybill.errors import (
    BadValue,
    ClusterForbidden,
    ClusterUnreachable,
    ImportFailed,
    ImportGoesOn,
)
from waybill.source.connect import FORMS
from waybill.store.connect import refuse_credentials

CLAIM, SECRET = "/mnt/source", "/etc/waybill/source"
"""Where the chart mounts the claim, and the Secret with the source's credentials."""
PROFILE = "source"
"""What the credentials are called in the file `credentials` of that Secret."""
FILES = {
    "ca.crt": "ca_bundle",
    "tls.crt": "client_certificate",
    "tls.key": "client_key",
    "token": "token_file",
}
"""Keys of that Secret that sources are told of, where their kind takes such. -> field of Reach."""
_LABEL = "app.kubernetes.io"
_CONTAINER = "import"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_ELSEWHERE = ("", "file", "store+file")
_EVERY = 1.0
_LAST_LINES = 20
_ADVICE = "mend what is named above and run the command again: it goes on where it stopped"
_NETWORK = "; imports may go where global.network.external says so, with import in `from`"


class Cluster(watch.Cluster, Protocol):
    """What an import asks of a cluster, in one namespace."""

    @property
    def namespace(self) -> str: ...
    def secret_keys(self, name: str) -> frozenset[str] | None: ...
    def create(self, kind: str, body: Object) -> bool: ...
    def delete(self, kind: str, name: str) -> None: ...
    def lines(self, pod: str, container: str, since: str) -> list[tuple[str, str]]: ...


@dataclass(frozen=True)
class Import:
    """What to import: a source, further flags of `waybill sideload`, a Secret, and who wants it."""

    source: str
    flags: Sequence[str] = ()
    secret: str | None = None
    by: str = ""

    def job(self, helm: Helm, cluster: Cluster) -> Object:
        """As the chart makes it. Of the Secret only the names of its keys are read.

        Raises BadValue, also where claim or Secret are not there, HelmFailed, ClusterForbidden.
        """
        claim, source = _split(self.source)
        if claim:
            _require_claim(cluster, self.source, claim)
        values = {
            "enabled": True,
            "args": [source, *self.flags, *self._credentials(cluster)],
            "by": self.by,
            "claim": claim,
            "existingSecret": self.secret or "",
        }
        sets = {f"import.{key}": value for key, value in values.items()}
        (job,) = (each for each in replace(helm, sets=sets).template() if is_import(each))
        return job

    def _credentials(self, cluster: Cluster) -> Iterator[str]:
        """The flags that lead the source to what the Secret holds for it."""
        if not self.secret:
            return
        keys = cluster.secret_keys(self.secret)
        if keys is None:
            why = f"the namespace {cluster.namespace} has no such Secret"
            raise BadValue(what="--source-secret", value=self.secret, why=why)
        takes = FORMS[_scheme(self.source)].takes
        said = any(flag.startswith("--source-profile=") for flag in self.flags)
        if "credentials" in keys and "profile" in takes and not said:
            yield f"--source-profile={PROFILE}"
        for key in sorted(keys & FILES.keys()):
            if (field := FILES[key]) in takes:
                yield f"--source-{field.replace('_', '-')}={SECRET}/{key}"


def is_import(thing: Object) -> bool:
    """Whether an object is the Job of an import."""
    return (thing["kind"], thing["metadata"]["labels"].get(f"{_LABEL}/name")) == ("Job", "import")


def _scheme(source: str) -> str:
    scheme, separator, _ = source.partition("://")
    return scheme.lower() if separator else ""


def _split(source: str) -> tuple[str, str]:
    """The claim, "" for none, and the source as the pod sees it. Raises BadValue."""
    scheme = _scheme(source)
    if scheme in _ELSEWHERE:
        why = "a pod does not see the files of this machine; a claim is pvc://claim/path"
        raise BadValue(what="source", value=source, why=why)
    if scheme not in FORMS:
        known = ", ".join(dict.fromkeys(form.pattern for form in FORMS.values()))
        raise BadValue(what="source", value=re.sub("//[^/]*@", "//…@", source), why=f"not {known}")
    refuse_credentials("source", source)
    if scheme != "pvc":
        return "", source
    claim, _, path = source.partition("://")[2].partition("/")
    if not _NAME.fullmatch(claim) or ".." in path.split("/"):
        why = "it must be pvc://claim/path, and the path must stay below the claim"
        raise BadValue(what="source", value=source, why=why)
    return claim, f"{CLAIM}/{path.strip('/')}".rstrip("/")


def _require_claim(cluster: Cluster, source: str, claim: str) -> None:
    known = sorted(each["metadata"]["name"] for each in cluster.listed("persistentvolumeclaims"))
    if claim not in known:
        has = f"; it has {', '.join(known)}" if known else ""
        why = f"the namespace {cluster.namespace} has no claim {claim}{has}"
        raise BadValue(what="source", value=source, why=why)


def carry_out(job: Object, cluster: Cluster, note: Callable[[str], None]) -> Mapping[str, Any]:
    """Begin the Job, or join it, and follow it to its end: the result of its `waybill sideload`.

    Raises ImportFailed, ClusterForbidden, ClusterUnreachable; ImportGoesOn for Ctrl-C.
    """
    name = job["metadata"]["name"]
    began = start(job, cluster)
    note(f"the Job {name} in {cluster.namespace} {'begins' if began else 'is at work already'}")
    try:
        said = Following(job, cluster, note).wait()
    except KeyboardInterrupt:
        raise ImportGoesOn(job=name, namespace=cluster.namespace) from None
    # Who may not delete leaves it to the Job's own time to live.
    with suppress(ClusterForbidden, ClusterUnreachable):
        cluster.delete("jobs", name)
    return said


def start(job: Object, cluster: Cluster) -> bool:
    """False where the same import is at work. One that has ended, well or not, is replaced."""
    for each in cluster.listed("jobs", _selector(job)):
        if not rollout.condition(each, "Complete") and not rollout.condition(each, "Failed"):
            return False
        cluster.delete("jobs", each["metadata"]["name"])
    return cluster.create("jobs", job)


def _selector(job: Object) -> str:
    labels = job["metadata"]["labels"]
    wanted = (f"{_LABEL}/instance", f"{_LABEL}/component")
    return ",".join(f"{key}={labels[key]}" for key in wanted)


class Following:
    """A Job and the log of its pods, as it grows."""

    def __init__(self, job: Object, cluster: Cluster, note: Callable[[str], None]) -> None:
        self._name, self._selector = job["metadata"]["name"], _selector(job)
        self._cluster = cluster
        self._note: Callable[[str], None] = lambda line: note(redacted(line))
        self._read: dict[str, str] = {}
        """Pod -> the time of the last line that was passed on."""
        self._warned: set[str] = set()
        self._since: float | None = None

    def wait(self) -> Mapping[str, Any]:
        """The result, empty where it cannot be read any more. Raises as `carry_out`."""
        patient = watch.Patient()
        while (said := patient(self._look)) is None:
            time.sleep(_EVERY)
        result: Mapping[str, Any] = said.get("result", {})
        return result

    def _look(self) -> Mapping[str, Any] | None:
        """What the Job said in the end; None while it is at work. Raises ImportFailed."""
        jobs = self._cluster.listed("jobs", self._selector)
        if not jobs:
            raise self._failure([], "somebody has deleted the Job")
        (job,) = jobs
        pods = self._pods(job)
        for pod in pods:
            self._pass_on(pod)
        if rollout.condition(job, "Complete"):
            return self._said(pods)
        if failed := rollout.condition(job, "Failed"):
            raise self._failure(pods, failed.get("message", ""))
        if not pods:
            self._warn(self._name)
        if why := self._stuck(job, pods):
            error = self._failure(pods, why)
            # It would wait for ever, and the next one may be told to run elsewhere.
            self._cluster.delete("jobs", self._name)
            raise error
        return None

    def _pods(self, job: Object) -> list[Object]:
        """The Job's own, the oldest first: those of one that it replaces may still be there."""
        uid = job["metadata"]["uid"]
        owned = [
            pod
            for pod in self._cluster.listed("pods", self._selector)
            if any(each["uid"] == uid for each in pod["metadata"].get("ownerReferences") or ())
        ]
        return sorted(owned, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))

    def _pass_on(self, pod: Object) -> None:
        """Note the new lines of a pod's log; of one that waits, what is said of it."""
        name = pod["metadata"]["name"]
        if pod.get("status", {}).get("phase") == "Pending":
            self._warn(name)
            return
        for at, line in self._cluster.lines(name, _CONTAINER, self._read.get(name, "")):
            self._read[name] = at
            if _parsed(line) is None:
                self._note(line)

    def _warn(self, name: str) -> None:
        for event in self._cluster.events(name):
            line = f"{name}: {event['reason']}: {event.get('message', '')}"
            if event.get("type") == "Warning" and line not in self._warned:
                self._warned.add(line)
                self._note(line)

    def _stuck(self, job: Object, pods: Sequence[Object]) -> str:
        """Why it will not begin, once that has lasted; empty while there is hope."""
        found = next(rollout.troubles([job], pods), None)
        if found is None:
            self._since = None
            return ""
        self._since = self._since or time.monotonic()
        lasted = time.monotonic() - self._since > watch.GRACE
        return found.why if found.final or lasted else ""

    def _said(self, pods: Sequence[Object]) -> Mapping[str, Any]:
        """What the last pod printed for machines; empty where it printed none."""
        for pod in pods[-1:]:
            text = self._cluster.log(pod["metadata"]["name"], _CONTAINER, _LAST_LINES)
            for line in reversed(text.splitlines()):
                if (said := _parsed(line)) is not None:
                    return said
        return {}

    def _failure(self, pods: Sequence[Object], why: str) -> ImportFailed:
        """In the words of `waybill sideload`, or of what keeps it from saying any."""
        hidden = watch.secrets(self._cluster)
        error = self._said(pods).get("error") or {}
        if not error:
            watch.explain(
                self._cluster, self._selector, lambda line: self._note(redacted(line, hidden))
            )
        advice = error.get("hint") or _ADVICE
        advice += _NETWORK if error.get("code") == "SourceUnreachable" else ""
        return ImportFailed(
            job=self._name,
            namespace=self._cluster.namespace,
            why=redacted(error.get("message", why), hidden),
            advice=redacted(advice, hidden),
        )


def _parsed(line: str) -> Mapping[str, Any] | None:
    """The line as `waybill --json` prints its result or its error; None for any other."""
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict) and said.get("command") == "sideload":
            return said
    return None
