"""What the benchmarks share: runs of programs with their cost, in turns, and the table of them."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from waybill.cli.output import human, table

# Of the process itself: what the kernel tells its parent counts the parent's own memory, too. It
# ends as the command does.
TOLD = """
import sys
print(open("/proc/self/status").read(), file=sys.stderr, flush=True)
"""
MEASURED = f"""
import os, sys
from waybill.cli.main import main
code = main(sys.argv[1:])
{TOLD}
os._exit(code)
"""
_LOOK = 0.01
"""Seconds between two looks at the memory of other programs, which do not tell it."""


@dataclass(frozen=True)
class Cost:
    """Of one run: seconds on the wall, seconds of CPU in user mode, bytes of memory at the peak, of
    the largest process where it takes several."""

    wall: float
    user: float
    peak: int


def shell(script: str, *arguments: object) -> Cost:
    """A line of bash, its arguments as $1, $2 …; raises SystemExit with what it said."""
    command = ["bash", "-o", "pipefail", "-euc", script, "bench", *map(str, arguments)]
    return _cost(command)


def waybill(*arguments: object) -> Cost:
    """One command in a process of its own."""
    return _cost([sys.executable, "-c", MEASURED, *map(str, arguments), "--quiet"])


def python(script: str, *arguments: object) -> Cost:
    return _cost([sys.executable, "-c", script + TOLD, *map(str, arguments)])


def told(*arguments: object) -> dict[str, Any]:
    """The result of a command whose cost is of no interest."""
    command = [sys.executable, "-m", "waybill", *map(str, arguments), "--quiet", "--json"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(ran.stdout)["result"]
    return result


def _cost(command: Sequence[str]) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        ran = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        seen = 0
        while ran.poll() is None:
            seen = max(seen, _largest(ran.pid))
            time.sleep(_LOOK)
        wall = time.monotonic() - began
        said.seek(0)
        told = said.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        raise SystemExit(f"{command} failed\n{told[-4000:]}")
    return Cost(wall, after.ru_utime - before.ru_utime, _peak(told) or seen)


def _peak(status: str) -> int:
    """Bytes, from what /proc says of a process; 0 where it says nothing."""
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else 0


def _largest(pid: int) -> int:
    """The peak so far of a process, or of the largest that it has begun."""
    try:
        begun = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        own = _peak(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        # It has just ended.
        return 0
    return max([own, *map(_largest, map(int, begun))])


def noise(path: Path, size: int) -> Path:
    """A file that no compression and no deduplication makes smaller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(1 << 20)
    with path.open("wb") as stream:
        for number in range(0, size, len(block)):
            stream.write((number.to_bytes(8) + block[8:])[: size - number])
    return path


@dataclass
class Race:
    """Ways to do the same work, each run in turns, so that what disturbs one disturbs all."""

    title: str
    goal: str
    size: int
    """Bytes that each way moves."""
    ways: Mapping[str, Callable[[], Cost]]
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def run(self, rounds: int) -> Race:
        names = list(self.ways)
        for number in range(rounds):
            # Who is first finds nothing in the page cache yet, so that is another one each round.
            first = number % len(names)
            for name in names[first:] + names[:first]:
                os.sync()  # What the way before has left to the disk is not of this one.
                cost = self.ways[name]()
                self.costs.setdefault(name, []).append(cost)
                print(f"{self.title}, {number + 1}: {name} {cost.wall:.2f} s", file=sys.stderr)
        return self

    def median(self, name: str) -> Cost:
        costs = self.costs[name]
        return Cost(
            statistics.median(cost.wall for cost in costs),
            statistics.median(cost.user for cost in costs),
            int(statistics.median(cost.peak for cost in costs)),
        )

    def table(self) -> str:
        """The first way is what the others are beside."""
        first = self.median(next(iter(self.ways))).wall
        rows = []
        for name in self.ways:
            cost = self.median(name)
            walls = [one.wall for one in self.costs[name]]
            rows.append(
                [
                    name,
                    f"{cost.wall:.2f} s",
                    f"{human(int(self.size / cost.wall))}/s",
                    f"{cost.user:.2f} s",
                    human(cost.peak) if cost.peak else "",
                    f"{cost.wall / first:.2f}",
                    f"{max(walls) / min(walls):.2f}",
                ]
            )
        head = ["way", "median", "rate", "user CPU", "peak", "times the first", "slowest / fastest"]
        return f"{self.title} ({self.goal})\n{table(head, rows)}"

    def as_json(self) -> dict[str, object]:
        costs = {name: [asdict(cost) for cost in costs] for name, costs in self.costs.items()}
        return {"title": self.title, "goal": self.goal, "size": self.size, "costs": costs}
