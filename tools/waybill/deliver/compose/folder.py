"""A project on disk: what is rendered is replaced file by file, Secrets are made once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from waybill.deliver.compose.containers import ENV, SECRETS
from waybill.deliver.compose.project import Project
from waybill.deliver.secrets import make_missing
from waybill.errors import BadFile, ComposeLacks, SecretLacksKeys
from waybill.files import exists

FILE = "compose.yaml"
_PLAIN = re.compile(r"[\w./:@%+,=-]+", re.ASCII)
_PRIVATE, _READABLE = 0o700, 0o755


@dataclass(frozen=True)
class Written:
    """`changed` are paths of files that differ from before, `made` names of Secrets.

    `gone` are files of an earlier run that nothing renders any more. `foreign` are folders that
    belong to somebody else than who has to write to them.
    """

    changed: tuple[str, ...]
    made: tuple[str, ...]
    gone: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """Keeps Secrets as folders with a file for each key, as the chart's hook keeps them.

    A file is readable by whichever user a container runs as; the folder above lets nobody in.
    """

    root: Path

    def secret_keys(self, name: str) -> frozenset[str] | None:
        place = self.root / SECRETS / name
        return frozenset(each.name for each in place.iterdir()) if place.is_dir() else None

    def create_secret(
        self,
        name: str,
        data: Mapping[str, str],
        labels: Mapping[str, str],  # noqa: ARG002 - a folder has none
        annotations: Mapping[str, str],  # noqa: ARG002
    ) -> bool:
        place, draft = self.root / SECRETS / name, self.root / SECRETS / f".{name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        _make(draft.parent, _PRIVATE)
        _make(draft, _READABLE)
        for key, text in data.items():
            _replace(draft / key, text, 0o644)
        try:
            draft.rename(place)
        except OSError:  # somebody else was faster: a folder with files in it is not replaced
            shutil.rmtree(draft)
            return False
        return True


def write(project: Project, root: Path, *, dry_run: bool = False) -> Written:
    """Raises ComposeLacks before anything is written, BadFile."""
    files = {FILE: project.text, **project.config}
    try:
        _check(project, root)
        changed = [path for path, text in files.items() if _read(root / path) != text]
        gone = sorted(_left_over(project, root))
        made = make_missing(project.plan, Folder(root), dry_run=dry_run).made
        if dry_run:
            return Written(tuple(changed), made, tuple(gone))
        for path in changed:
            _make((root / path).parent, _READABLE)
            _replace(root / path, files[path], 0o644)
        for service, keys in project.env.items():
            _make(root / ENV, _PRIVATE)
            _replace(root / ENV / service, _variables(keys, root), 0o600)
        for path in gone:
            (root / path).unlink()
        return Written(tuple(changed), made, tuple(gone), tuple(_own(project, root)))
    except SecretLacksKeys as error:
        raise ComposeLacks(
            paths=f"{SECRETS}/{error.facts['name']}: {error.facts['keys']}"
        ) from None
    except OSError as error:
        raise BadFile(path=error.filename or root, why=error.strerror or str(error)) from error


def _left_over(project: Project, root: Path) -> Iterator[str]:
    """In folders that are ours: what is mounted counts, and so do variables that lie about.

    A ConfigMap's folder that is rendered no more may be one that people have made.
    """
    ours = {str(Path(path).parent) for path in project.config}
    known = {*project.config, *(f"{ENV}/{service}" for service in project.env)}
    for folder in (*ours, ENV):
        for each in (root / folder).glob("*"):
            path = f"{folder}/{each.name}"
            if path not in known and each.is_file():
                yield path


def _check(project: Project, root: Path) -> None:
    """Raises ComposeLacks for what neither the chart renders nor its plan makes, BadFile."""
    ours = {"/".join(path.split("/")[:2]) for path in project.config}
    ours |= {f"{SECRETS}/{name}" for name in project.plan.secrets}
    theirs = [path for path in project.given if "/".join(path.split("/")[:2]) not in ours]
    if lost := sorted(path for path in theirs if not exists(root / path)):
        raise ComposeLacks(paths=", ".join(str(root / path) for path in lost))


def _variables(keys: Mapping[str, tuple[str, str]], root: Path) -> str:
    """A file of variables as Compose reads it. Raises BadFile, which never repeats a value."""
    lines = []
    for variable, (secret, key) in sorted(keys.items()):
        path = root / SECRETS / secret / key
        try:
            value = path.read_text("utf-8")
        except UnicodeDecodeError:
            raise BadFile(path=path, why="it is no UTF-8, and a variable is text") from None
        if "\n" in value or "'" in value or value.endswith("\\"):
            why = "it holds a line break or ', or ends with \\, which no variable can have"
            raise BadFile(path=path, why=why)
        lines.append(f"{variable}={value if _PLAIN.fullmatch(value) else _quoted(value)}\n")
    return "".join(lines)


def _quoted(value: str) -> str:
    """Between single quotes Compose changes nothing, where none of them has a backslash before."""
    return f"'{value}'"


def _own(project: Project, root: Path) -> Iterator[str]:
    """Make the folders that containers write to; yields those that they could not write to."""
    for name in project.folders:
        folder = root / project.data / name
        folder.mkdir(parents=True, exist_ok=True)
        if project.owner is None or folder.stat().st_uid == project.owner[0]:
            continue
        try:
            os.chown(folder, *project.owner)
        except PermissionError:
            yield str(folder)


def _make(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def _replace(path: Path, text: str, mode: int) -> None:
    """In one step: Envoy watches its folder for files that are moved into it."""
    draft = path.with_name(f".{path.name}.new")
    draft.touch(mode=mode)
    draft.chmod(mode)
    draft.write_text(text, "utf-8")
    draft.replace(path)
