"""The list of the chart's images, which is reviewed like code: all that it may run."""

from __future__ import annotations

from pathlib import Path

import yaml

from waybill.deliver import helm
from waybill.deliver.helm import Helm
from waybill.deliver.images import listed

_HEAD = """\
# Every image that the chart may run, from rendering it: `python -m waybill.generate --update`.
# `digest` is what the values say; what the images themselves have, and their sizes, is known where
# they are: `waybill images list --from REGISTRY`, or DIR for a bundle.
"""


def image_list(root: Path) -> str:
    """YAML. Raises HelmMissing, HelmFailed."""
    images = listed(Helm(root / helm.CHART, "waybill", "waybill"), everything=True)
    return _HEAD + yaml.safe_dump([one.as_json() for one in images], sort_keys=False, width=100)
