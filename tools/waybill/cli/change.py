"""The texts of a change that brings new pins to a branch. They ask no forge."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from waybill import digest as digests
from waybill.cli import arguments
from waybill.cli.output import Console, plain
from waybill.deliver import pins, values
from waybill.deliver.environments import Environment
from waybill.deliver.pins import Pin, Pins
from waybill.errors import WaybillError
from waybill.release.move import Move


def add_pull_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pull-request",
        type=Path,
        metavar="DIR",
        help="write branch, title, commit and body.md of a change there (default: waybill/ENV "
        "in the folder of the git repository, once something moves)",
    )


def _in_git(project: Path, environment: str) -> Path | None:
    """A folder of our own in that of the repository or worktree (gitrepository-layout(5))."""
    project = project.resolve()
    for place in (project, *project.parents):
        git = place / ".git"
        with suppress(OSError):
            if git.is_file():
                named = git.read_text(errors="replace").removeprefix("gitdir:").strip()
                git = place / named
            if git.is_dir():
                return git / "waybill" / environment
    return None


NAMES = ("branch", "title", "commit", "body.md")


@dataclass(frozen=True)
class Change:
    """`text` is what the commit says below its title, `body` the description, in Markdown."""

    branch: str
    title: str
    text: str
    body: str

    def write(self, folder: Path) -> None:
        """Raises BadFile."""
        commit = f"{self.title}\n\n{self.text}"
        texts = (self.branch, self.title, commit, self.body)
        for name, text in zip(NAMES, texts, strict=True):
            values.write(folder / name, text.rstrip("\n") + "\n")


Made = Callable[[Pins, Pins], Change | None]
"""The texts of what differs between two states of an environment's pins."""


def of_rollback(step: Move, why: str) -> Change:
    """What a rollback edits."""
    where, commit = step.environment.name, step.revision.short
    came = step.pinned.short if step.pinned else "nothing"
    return _change(
        f"rollback-{where}-{step.model}-{commit}",
        f"Roll back {step.model} in {where} to {commit}",
        [f"{step.model}: {came} -> {commit}"],
        [why] if why else [],
    )


@contextmanager
def kept(
    args: argparse.Namespace,
    console: Console,
    environment: Environment,
    made: Made,
    draft: Change | None = None,
) -> Iterator[None]:
    """Leave the texts of what changes in the pins meanwhile, however it ends: where
    `--pull-request` says, else beside git's own drafts, which are in nobody's way.

    `draft` is there before anything moves, for a crash may come right after. Where nothing has
    moved, what was there before is there again.
    """
    folder = args.pull_request or _in_git(arguments.project(args), environment.name)
    old, before = _texts(folder), pins.load(environment.pins_path)
    if draft and folder:
        _leave(console, folder, draft)
    try:
        yield
    finally:
        after = before
        with suppress(WaybillError):
            after = pins.load(environment.pins_path)
        change = made(before, after) if after != before else None
        if change and folder:
            _leave(console, folder, change)
            console.note(f"branch, title, commit and body.md of the change are in {folder}")
        elif draft and folder and not args.pull_request:
            _restore(folder, old)


def _leave(console: Console, folder: Path, change: Change) -> None:
    """What was done has to be told, whatever becomes of its texts, and an error even more."""
    try:
        change.write(folder)
    except WaybillError as error:
        console.note(f"warning: {error}")


def _texts(folder: Path | None) -> dict[str, bytes]:
    found = {}
    for name in NAMES if folder else ():
        with suppress(OSError):
            found[name] = (folder / name).read_bytes()  # type: ignore[operator] # it is one here
    return found


def _restore(folder: Path, texts: Mapping[str, bytes]) -> None:
    for name in NAMES:
        with suppress(OSError):
            if name in texts:
                (folder / name).write_bytes(texts[name])
            else:
                (folder / name).unlink()


def of_rollout(where: str, before: Pins, after: Pins, said: Sequence[str]) -> Change:
    """What `watch` has moved; `said` is what came of it."""
    was = {name: before.models.get(name) for name in after.models}
    moved = [name for name, pin in after.models.items() if pin != was[name]]
    back = [name for name in moved if _went_back(was[name], after.models[name])]
    title = f"Move the traffic of {', '.join(moved)} in {where}"
    if back:
        title = f"Take back {', '.join(back)} in {where}"
    shares = [f"{name}: {_shares(was[name])} -> {_shares(after.models[name])}" for name in moved]
    short = digests.short_commit(digests.of(after.text.encode()).partition(":")[2])
    return _change(f"watch-{where}-{short}", title, shares, said)


def _went_back(was: Pin | None, pin: Pin) -> bool:
    return was is not None and pin.stable == was.previous


def _shares(pin: Pin | None) -> str:
    slots = pin.traffic.values() if pin else ()
    shares = [f"{digests.short_commit(slot.commit)} {slot.weight} %" for slot in slots]
    return ", ".join(shares) or "nothing"


def _change(name: str, title: str, moved: Sequence[str], said: Sequence[str]) -> Change:
    text = "\n".join([*moved, *(["", *said] if said else [])])
    body = [f"## {plain(title)}", *(f"- {plain(line)}" for line in [*moved, *said])]
    return Change(f"waybill/{name}", title, text, "\n\n".join([body[0], "\n".join(body[1:])]))
