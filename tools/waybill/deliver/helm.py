"""Helm as people call it: the right files in the right order, its words turned into ours."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver.environments import Environment
from waybill.errors import (
    BadFile,
    ClusterUnreachable,
    HelmFailed,
    HelmMissing,
    NoChart,
    ReleasePending,
)
from waybill.files import NOT_YAML, read

CHART = "charts/waybill"
TRUST = "modelHub.trust.policy"
"""The value that takes the environment's trust policy."""
_NEEDED = (3, 14)
"""Older ones render some templates of the chart differently, and are out of support."""

_NOISE = re.compile(r"WARNING|level=|Use --debug flag|[IWEF]\d{4} ")
"""Beginnings of lines that are not about the failure: the last are a client's log, by date."""
_CONFLICT = re.compile(r"Apply failed with \d+ conflict")
"""Somebody else has written a field that the chart renders. Only where objects are applied by the
server is that an error, and is the flag allowed that takes the field back."""
_EVERY = 1.0

Manifest = Mapping[str, Any]
"""One Kubernetes object."""


@dataclass(frozen=True)
class Installed:
    """A release as it was applied last; `revision` is 0 where it never was."""

    revision: int = 0
    manifests: Sequence[Manifest] = ()


@dataclass(frozen=True)
class Helm:
    """One release of one chart in one namespace; `files` are the values files, the last one wins.

    `texts` are values that are the text of a file, and `sets` are values by their path; they win
    over all. `unpinned` is the path of the pins file where there is none.
    Every method raises HelmMissing, HelmFailed, ClusterUnreachable.
    """

    chart: Path
    release: str
    namespace: str
    files: Sequence[Path] = ()
    context: str | None = None
    unpinned: Path | None = None
    texts: Mapping[str, Path] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)

    def template(self) -> list[Manifest]:
        """All objects of the chart, hooks and tests too, without asking a cluster."""
        where = f"--namespace={self.namespace}"
        return documents(run("template", self.release, str(self.chart), where, *self._values()))

    def installed(self) -> Installed:
        """Raises ReleasePending where an upgrade would be refused, too."""
        flags = ["--all", "--filter", f"^{re.escape(self.release)}$", "--output", "json"]
        if version()[0] >= 4:
            flags.remove("--all")  # Helm 4 lists every state by itself
        found = json.loads(run("list", *flags, *self._where()) or "[]")
        if not found:
            return Installed()
        if (status := found[0]["status"]).startswith("pending-"):
            undo = "uninstall" if status == "pending-install" else "rollback"
            raise ReleasePending(
                release=self.release, namespace=self.namespace, status=status, undo=undo
            )
        manifests = documents(run("get", "manifest", self.release, *self._where()))
        return Installed(int(found[0]["revision"]), manifests)

    def upgrade(
        self,
        seconds: int,
        *,
        create_namespace: bool,
        meanwhile: Callable[[], None],
        hooks: bool = True,
    ) -> None:
        """Install or upgrade. Only hooks are waited for, `seconds` at most.

        What `meanwhile`, called each second, raises ends it. To create a namespace, also one that
        is there, takes a right that holds for the whole cluster. What others have changed by hand
        is put back, which Helm 3 does by itself and Helm 4 once it is told.
        """
        flags = ["--install", "--reset-values", f"--timeout={seconds}s"]
        flags += ["--create-namespace"] if create_namespace else []
        flags += [] if hooks else ["--no-hooks"]
        where = (str(self.chart), *flags, *self._values(), *self._where())
        try:
            run("upgrade", self.release, *where, meanwhile=meanwhile)
        except HelmFailed as error:
            if not _CONFLICT.search(str(error.facts["why"])):
                raise
            run("upgrade", self.release, *where, "--force-conflicts", meanwhile=meanwhile)

    def notes(self) -> str:
        """What the chart says of the release as it is: where it answers, and what comes next."""
        said = run("get", "notes", self.release, *self._where())
        return said.strip().removeprefix("NOTES:").strip()

    def values(self) -> dict[str, Any]:
        """The chart's defaults with the files laid over them, as Helm merges them."""
        merged: dict[str, Any] = yaml.safe_load(run("show", "values", str(self.chart))) or {}
        for file in self.files:
            merged = overlay(merged, values_in(file))
        return merged

    def _values(self) -> list[str]:
        # A comma would begin another value.
        texts = {key: str(path).replace(",", "\\,") for key, path in self.texts.items()}
        return [
            *(f"--values={file}" for file in self.files),
            *(f"--set-file={key}={path}" for key, path in texts.items()),
            *(f"--set-json={key}={json.dumps(value)}" for key, value in self.sets.items()),
        ]

    def _where(self) -> list[str]:
        context = [f"--kube-context={self.context}"] if self.context else []
        return [f"--namespace={self.namespace}", *context]


def of(environment: Environment, chart: Path, more: Sequence[Path] = ()) -> Helm:
    """The environment's release: its values file, then `more`, then the pins, which win.

    Raises NoChart, BadFile when a file is missing, or the trust policy cannot be used.
    """
    environment.policy()
    pinned = environment.pins_path.exists()
    files = [environment.values_path, *more, *([environment.pins_path] if pinned else [])]
    for file in files:
        if not file.is_file():
            raise BadFile(path=file, why="there is no such file")
    if not (chart / "Chart.yaml").is_file() and not chart.is_file():
        raise NoChart(path=chart)
    return Helm(
        chart=chart,
        release=environment.release,
        namespace=environment.namespace or environment.release,
        files=files,
        context=environment.kube_context,
        unpinned=None if pinned else environment.pins_path,
        texts={TRUST: environment.trust_path} if environment.trust_path else {},
    )


def run(what: str, *arguments: str, meanwhile: Callable[[], None] = lambda: None) -> str:
    """What `helm WHAT ARGUMENTS...` prints. Raises HelmMissing, HelmFailed, ClusterUnreachable.

    `meanwhile` is called each second. What it raises, and Ctrl-C, is raised once helm has ended.
    """
    command = [program(), what, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as helm:
        try:
            said, complaint = _finished(helm, meanwhile)
        except BaseException:
            _end(helm)
            raise
    if "cluster unreachable" in complaint.lower():
        raise ClusterUnreachable(where="that helm was told", why=_sentence(complaint))
    if helm.returncode:
        raise HelmFailed(what=what, why=_sentence(complaint))
    return said


def _finished(helm: subprocess.Popen[str], meanwhile: Callable[[], None]) -> tuple[str, str]:
    while True:
        try:
            return helm.communicate(timeout=_EVERY)
        except subprocess.TimeoutExpired:
            meanwhile()


def _end(helm: subprocess.Popen[str]) -> None:
    """Tell helm to end and wait for it: killed, it would leave its release pending for ever."""
    helm.terminate()
    try:
        helm.communicate()
    except KeyboardInterrupt:  # whoever asks twice means it
        helm.kill()
        raise


def program() -> str:
    """The helm to call: WAYBILL_HELM, or the one in PATH. Raises HelmMissing."""
    named = os.environ.get("WAYBILL_HELM")
    found = shutil.which(named or "helm")
    if found is None:
        raise HelmMissing(why=f"WAYBILL_HELM names {named}" if named else "PATH has none")
    return found


def version() -> tuple[int, int]:
    """Major and minor. Raises HelmMissing, also when it is too old."""
    return _version_of(program())


@functools.cache
def _version_of(program: str) -> tuple[int, int]:
    said = run("version", "--template={{.Version}}")
    match = re.search(r"v?(\d+)\.(\d+)", said)
    found = (int(match[1]), int(match[2])) if match else (0, 0)
    if found < _NEEDED:
        raise HelmMissing(why=f"{program} is {said.strip()}, which is too old")
    return found


def documents(text: str) -> list[Manifest]:
    """The objects of a stream of YAML documents."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(text, loader) if each]


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge key by key, null removes, all else is replaced: Helm's own rules."""
    merged = {key: value for key, value in under.items() if over.get(key, ...) is not None}
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = overlay(merged[key], value)
        elif value is not None:
            merged[key] = value
    return merged


def values_in(path: Path) -> dict[str, Any]:
    """What a values file gives. Raises BadFile."""
    try:
        found = yaml.safe_load(read(path)) or {}
    except NOT_YAML as error:
        raise BadFile(path=path, why=" ".join(str(error).split())) from error
    if not isinstance(found, dict):
        raise BadFile(path=path, why="it is no map of values")
    return found


def _sentence(stderr: str) -> str:
    """Helm's last error without its stack of template names, which name no mistake of the user."""
    said = "\n".join(line for line in stderr.splitlines() if not _NOISE.match(line)).strip()
    for before in ("error calling fail: ", "Error: "):
        said = said.rpartition(before)[2]
    said = re.sub(r"^execution error at \([^)]*\):\s*", "", said).strip()
    return said.removeprefix("these values do not fit together:").strip() or "it said nothing"
