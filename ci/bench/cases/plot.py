"""The races as bars: how long each way takes, beside Waybill's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from ci.bench.cases.measure import Race

mpl.use("svg")
from matplotlib import pyplot


def draw(races: Sequence[Race], path: Path) -> None:
    """An SVG with a row of bars for each race."""
    figure, rows = pyplot.subplots(len(races), squeeze=False, figsize=(9, 2.2 * len(races)))
    for race, (axes,) in zip(races, rows, strict=True):
        names = list(race.ways)[::-1]
        walls = [race.median(name).wall for name in names]
        axes.barh(names, walls, color=["#9db4c0"] * (len(names) - 1) + ["#1b4965"])
        axes.set_title(race.title, loc="left")
        axes.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path)
