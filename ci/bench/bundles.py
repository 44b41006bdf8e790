"""How fast bundles are packed, loaded and promoted, beside what people use today.

Usage: ci/bench/bundles [OPTION...] [QUESTION...]

Questions: sideload, pack, promote, resume, pull, delta, growth (default: all). All take turns
in one run, with one MinIO; times are medians. --folder needs five times the size.
`ci/bench/bundles` brings the programs; --out gets the figures as JSON and the plot as SVG.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ci.bench.cases import delta, growth, pack, promote, pull, resume, sideload
from ci.bench.cases.measure import Race
from waybill.cli.arguments import size
from waybill.cli.output import human, table

RACES: dict[str, Callable[[Path, int, int, int], Race]] = {
    "sideload": sideload.race,
    "pack": pack.race,
    "promote": promote.race,
    "resume": resume.race,
    "pull": pull.race,
}
QUESTIONS = [*RACES, "delta", "growth"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--folder", type=Path, help="where there is room (default: for temporary)")
    parser.add_argument("--size", type=size, default=size("2GB"), help="of the model (2GB)")
    parser.add_argument("--files", type=int, default=4, help="of weights that it is in (4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (3)")
    parser.add_argument("--grow", type=size, nargs="+", default=[size("1GB"), size("4GB")])
    parser.add_argument("--sink", type=size, help="grow to this size against the sink, too")
    parser.add_argument("--out", type=Path, help="directory for figures and plot")
    given = parser.parse_args()
    if unknown := set(given.questions) - set(QUESTIONS):
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(QUESTIONS)}")
    return given


def grown(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Label -> step -> cost."""
    into, small = folder / "grow", given.grow[0]
    cases = {human(one): partial(growth.into_minio, into, one) for one in given.grow}
    cases[f"10,000 files, {human(small)}"] = partial(growth.into_minio, into, small, 9_999)
    if given.sink:
        cases[f"{human(given.sink)}, sink"] = partial(growth.into_sink, into, given.sink)
    found, rows = {}, []
    for label, case in cases.items():
        found[label] = case()
        for step, cost in found[label].items():
            rows.append([label, step, f"{cost.wall:.1f} s", f"{cost.user:.1f} s", human(cost.peak)])
            print("growth:", *rows[-1], file=sys.stderr)
    print("growth (time linear; memory within 10 % of each other, below 200 MB)")
    print(table(["size", "step", "wall", "user CPU", "peak"], rows), end="\n\n")
    return {label: {step: asdict(one) for step, one in costs.items()}
            for label, costs in found.items()}  # fmt: skip


def answer(question: str, folder: Path, given: argparse.Namespace) -> tuple[Any, Race | None]:
    if question in RACES:
        race = RACES[question](folder, given.size, given.files, given.rounds)
        print(race.table(), end="\n\n")
        return race.as_json(), race
    if question == "growth":
        return grown(folder, given), None
    shares = delta.share(folder, given.size)
    print("one file in a hundred changed (1.05 times the changed bytes)")
    print(table(["packed", "sent"], [[f"{one:.3f}" for one in shares.values()]]), end="\n\n")
    return shares, None


def main() -> None:
    given = arguments()
    figures, races = {}, []
    for question in given.questions or QUESTIONS:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            figures[question], race = answer(question, Path(folder), given)
            races += [race] if race else []
    if given.out:
        from ci.bench.cases.plot import draw

        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "bundles.json").write_text(json.dumps(figures, indent=1) + "\n")
        draw(races, given.out / "bundles.svg")


if __name__ == "__main__":
    main()
