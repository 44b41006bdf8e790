"""How long a step of the pins takes until it is served, and whether anybody answers meanwhile.

The chart is rendered as the files are and as they will be, for it alone knows what an engine's
start may take and which engines there is room for.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from waybill.deliver import helm, pins
from waybill.deliver.helm import Manifest
from waybill.deliver.live import COMPONENT
from waybill.release.move import Move


@dataclass(frozen=True)
class Delay:
    """`seconds` at most, 0 where its engines are there already; `silent`: nobody answers until
    then."""

    seconds: int
    silent: bool


def of(step: Move, chart: Path, more: Sequence[Path] = (), *, ready: bool | None = None) -> Delay:
    """`ready` says whether its engines are, and None that only the files are asked.

    Raises BadFile, HelmMissing, HelmFailed where it cannot be known.
    """
    environment, model = step.environment, step.model
    now = helm.of(environment, chart, more)
    held = pins.load(environment.pins_path)
    with tempfile.TemporaryDirectory(prefix="waybill-delay-") as folder:
        file = Path(folder) / "pins.yaml"
        file.write_text(held.with_stable(model, step.revision, gradual=step.gradual).text)
        files = [each for each in now.files if each != environment.pins_path]
        then = replace(now, files=[*files, file], unpinned=None)
        before, after = _engines(now.template(), model), _engines(then.template(), model)
    engine = f"vllm-{model}-{step.revision.short}"
    if engine not in after or (engine in before and ready is not False):
        return Delay(0, silent=False)
    seconds = int(after[engine]["spec"].get("progressDeadlineSeconds", 600))
    return Delay(seconds, silent=not (before.keys() & after.keys()) - {engine})


def _engines(objects: Sequence[Manifest], model: str) -> dict[str, Manifest]:
    """A model's Deployments by the component that they are."""
    found = {
        (each["metadata"].get("labels") or {}).get(COMPONENT, ""): each
        for each in objects
        if each["kind"] == "Deployment"
    }
    name = re.compile(f"vllm-{re.escape(model)}-[0-9a-f]{{8}}")
    return {key: each for key, each in found.items() if name.fullmatch(key)}
