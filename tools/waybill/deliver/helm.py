"""Helm as people call it: the right files in the right order, its words turned into ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver.environments import Environment
from waybill.errors import BadFile, ClusterUnreachable, HelmFailed, HelmMissing

CHART = "charts/waybill"
_NEEDED = (3, 14)
"""Older ones render some templates of the chart differently, and are out of support."""

_NOISE = ("WARNING", "level=", "Use --debug flag", "I1", "W1")

Manifest = Mapping[str, Any]
"""One Kubernetes object."""


@dataclass(frozen=True)
class Helm:
    """One release of one chart in one namespace; `files` are the values files, the last one wins.

    Every method raises HelmMissing, HelmFailed, ClusterUnreachable.
    """

    chart: Path
    release: str
    namespace: str
    files: Sequence[Path] = ()
    context: str | None = None

    def template(self) -> list[Manifest]:
        """All objects of the chart, hooks and tests too, without asking a cluster."""
        where = f"--namespace={self.namespace}"
        return documents(run("template", self.release, str(self.chart), where, *self._values()))

    def installed(self) -> list[Manifest]:
        """The objects of the release as it was applied last; none where it is not installed."""
        if self._deployed() is None:
            return []
        return documents(run("get", "manifest", self.release, *self._where()))

    def upgrade(self, seconds: int) -> None:
        """Install or upgrade. Only hooks are waited for, `seconds` at most."""
        flags = ["--install", "--create-namespace", "--reset-values", f"--timeout={seconds}s"]
        where = (*self._values(), *self._where())
        run("upgrade", self.release, str(self.chart), *flags, *where)

    def revision(self) -> int:
        """The number of the release's newest revision, 0 where it is not installed."""
        found = self._deployed()
        return int(found["revision"]) if found else 0

    def values(self) -> dict[str, Any]:
        """The chart's defaults with the files laid over them, as Helm merges them."""
        merged: dict[str, Any] = yaml.safe_load(run("show", "values", str(self.chart)))
        for file in self.files:
            merged = overlay(merged, _yaml(file))
        return merged

    def _deployed(self) -> Mapping[str, Any] | None:
        flags = ["--all", "--filter", f"^{re.escape(self.release)}$", "--output", "json"]
        if version()[0] >= 4:
            flags.remove("--all")  # Helm 4 lists every state by itself
        found = json.loads(run("list", *flags, *self._where()) or "[]")
        return found[0] if found else None

    def _values(self) -> list[str]:
        return [f"--values={file}" for file in self.files]

    def _where(self) -> list[str]:
        context = [f"--kube-context={self.context}"] if self.context else []
        return [f"--namespace={self.namespace}", *context]


def of(environment: Environment, chart: Path, more: Sequence[Path] = ()) -> Helm:
    """The environment's release: its values file, then `more`, then the pins, which win.

    Raises BadFile when a file is missing.
    """
    pins = [environment.pins_path] if environment.pins_path.exists() else []
    files = [environment.values_path, *more, *pins]
    for file in files:
        if not file.is_file():
            raise BadFile(path=file, why="there is no such file")
    if not (chart / "Chart.yaml").is_file() and not chart.is_file():
        raise BadFile(path=chart, why="there is no chart; --chart says where it lies")
    return Helm(
        chart=chart,
        release=environment.release,
        namespace=environment.namespace or environment.release,
        files=files,
        context=environment.kube_context,
    )


def run(what: str, *arguments: str) -> str:
    """What `helm WHAT ARGUMENTS...` prints. Raises HelmMissing, HelmFailed."""
    done = subprocess.run(
        [program(), what, *arguments], capture_output=True, text=True, errors="replace"
    )
    if "cluster unreachable" in done.stderr.lower():
        raise ClusterUnreachable(where="that helm was told", why=_sentence(done.stderr))
    if done.returncode:
        raise HelmFailed(what=what, why=_sentence(done.stderr))
    return done.stdout


def program() -> str:
    """The helm to call: WAYBILL_HELM, or the one in PATH. Raises HelmMissing."""
    named = os.environ.get("WAYBILL_HELM")
    found = shutil.which(named or "helm")
    if found is None:
        raise HelmMissing(why=f"WAYBILL_HELM names {named}" if named else "PATH has none")
    return found


def version() -> tuple[int, int]:
    """Major and minor. Raises HelmMissing, also when it is too old."""
    said = run("version", "--template={{.Version}}")
    match = re.search(r"v?(\d+)\.(\d+)", said)
    found = (int(match[1]), int(match[2])) if match else (0, 0)
    if found < _NEEDED:
        raise HelmMissing(why=f"{program()} is {said.strip()}, which is too old")
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


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise BadFile(path=path, why=str(error).replace("\n", " ")) from error


def _sentence(stderr: str) -> str:
    """Helm's last error without its stack of template names, which name no mistake of the user."""
    said = "\n".join(line for line in stderr.splitlines() if not line.startswith(_NOISE)).strip()
    for before in ("error calling fail: ", "Error: "):
        said = said.rpartition(before)[2]
    said = re.sub(r"^execution error at \([^)]*\):\s*", "", said).strip()
    return said.removeprefix("these values do not fit together:").strip() or "it said nothing"
