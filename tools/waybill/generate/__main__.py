"""Everything that is generated: check by default, write with `--update`.

Exit code 1 when a file is stale, with the command that mends it. Works in a checkout; the list of
images takes Helm, and where there is none it is left as it is, and that is said.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from waybill.bundle import base
from waybill.bundle import format as bundle_format
from waybill.cli.schema import SCHEMA as OUTPUT
from waybill.deliver.environments import SCHEMA as ENVIRONMENTS
from waybill.errors import HelmFailed, HelmMissing
from waybill.generate import chart, dashboard, images, policy, reference
from waybill.release.evaluation import SCHEMA as SMOKE
from waybill.release.plan_schema import SCHEMA as PLAN
from waybill.release.policy_schema import SCHEMA as POLICY
from waybill.sign.trust import SCHEMA as TRUST
from waybill.source import imports

ROOT = Path(__file__).parents[3]


def _json(value: object) -> Callable[[], str]:
    return lambda: json.dumps(value, indent=2) + "\n"


GENERATED: dict[str, Callable[[], str]] = {
    "tools/docs/cli.md": reference.cli_reference,
    "tools/docs/errors.md": reference.error_reference,
    "tools/docs/formats.md": reference.formats,
    "tools/docs/bundle.schema.json": _json(bundle_format.SCHEMA),
    "tools/docs/inventory.schema.json": _json(base.SCHEMA),
    "values/environments.schema.json": _json(ENVIRONMENTS),
    "tools/docs/plan.schema.json": _json(PLAN),
    "tools/docs/policy.md": lambda: policy.guide((ROOT / "tools/docs/policy.md").read_text()),
    "tools/docs/output.schema.json": _json(OUTPUT),
    "values/policy.schema.json": _json(POLICY),
    "values/trust.schema.json": _json(TRUST),
    "values/smoke.schema.json": _json(SMOKE),
    "values/import.schema.json": _json(imports.SCHEMA),
    "charts/waybill/values.schema.json": lambda: chart.schema_text(chart.load(ROOT)),
    "charts/waybill/README.md": lambda: chart.readme(chart.load(ROOT)),
    "charts/waybill/dashboards/waybill.json": lambda: (
        json.dumps(dashboard.board(), indent=1) + "\n"
    ),
    "charts/waybill/images.yaml": lambda: images.image_list(ROOT),
}


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every file is as generated, or was written."""
    arguments = argparse.ArgumentParser(prog="python -m waybill.generate", description=__doc__)
    arguments.add_argument("--update", action="store_true", help="write what is stale")
    update = arguments.parse_args(argv).update
    differences = [f"charts/waybill: {one}" for one in chart.differences(chart.load(ROOT))]
    stale = []
    # In their order, as the chart is rendered by the schema that was written before.
    for name, produce in GENERATED.items():
        try:
            text = produce()
        except HelmMissing as error:
            _say(f"not looked at: {name}, as {error}")
        except HelmFailed as error:
            differences.append(f"{name}: {error}")
        else:
            if not _is(ROOT / name, text):
                stale.append(name)
                _write(ROOT / name, text) if update else _say(f"stale: {name}")
    for difference in differences:
        _say(difference)
    if stale and not update:
        _say("mend with: python -m waybill.generate --update")
    return 1 if differences or (stale and not update) else 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _say(f"wrote {path.relative_to(ROOT)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
