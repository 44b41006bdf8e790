"""A project with three environments, their stores, and small revisions in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from waybill import digest as digests
from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.pins import Pins
from waybill.manifest import STATEMENT_TYPE, File, Manifest, canonical, git_blob_id, provenance
from waybill.release import move, pin, promote, rollback
from waybill.release.move import Reason
from waybill.release.promote import Promotion
from waybill.store.base import Advance, BytesContent, no_progress
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Record
from waybill.store.store import Store
from waybill.store.sync import Copied

REPO = RepoId("Acme", "Chat")
OTHER = RepoId("acme", "embed")
NAMES = ("dev", "test", "prod")


def upstream(number: int) -> str:
    return f"{number:040x}"


def content(number: int) -> dict[str, bytes]:
    """The files of revision `number`: one is shared by all, the others are its own."""
    return {
        "README.md": b"# Chat\n",
        "config.json": canonical({"version": number}),
        "model.safetensors": bytes([number]) * 3000,
    }


def manifest(number: int) -> Manifest:
    return Manifest.of(
        File(path, digests.of(data), len(data), git_blob_id(data))
        for path, data in content(number).items()
    )


def revision(store: Store, number: int, repo: RepoId = REPO) -> Manifest:
    """A complete revision with a provenance statement, another statement and an alias."""
    files, made = content(number), manifest(number)
    for file in made.files:
        if not store.has(file.descriptor):
            store.upload(file.descriptor, BytesContent(files[file.path]))
    store.add_revision(repo, made)
    sbom = canonical({"predicateType": "https://spdx.dev/Document", "subject": number})
    for statement in (provenance(made, {"number": number}, "test"), sbom):
        store.add_referrer(repo, made.commit, statement, STATEMENT_TYPE)
    store.add_alias(repo, upstream(number), made.commit)
    return made


def carry_out(
    promotion: Promotion, *, by: str, why: str, advance: Advance = no_progress
) -> list[Copied]:
    """What `apply` does behind the gates: the bytes, then refs and pins."""
    copied = promote.copy(promotion, advance)
    move.carry_out([step.move for step in promotion.steps], Reason(by, why))
    return copied


@dataclass(frozen=True)
class World:
    """What the tests act on; `by` makes two writers differ."""

    project: Path
    by: str = "a test"

    @cached_property
    def environments(self) -> Environments:
        return Environments.load(self.project)

    def __getitem__(self, name: str) -> Environment:
        return self.environments[name]

    def store(self, name: str) -> Store:
        return self[name].connect()

    def revision(self, name: str, number: int, repo: RepoId = REPO) -> Manifest:
        return revision(self.store(name), number, repo)

    def pins(self, name: str) -> Pins:
        return pins.load(self[name].pins_path)

    def stable(self, name: str, model: str = "chat") -> str | None:
        """The commit in the pins file."""
        held = self.pins(name).models.get(model)
        return held.stable.commit if held else None

    def ref(self, name: str, model: str = "chat", repo: RepoId = REPO) -> str | None:
        """The commit that the store's ref stands at."""
        head = self.store(name).head(repo, Ref.pin(name, model))
        return head.commit if head else None

    def records(self, name: str, model: str = "chat", repo: RepoId = REPO) -> list[Record]:
        return list(self.store(name).history(repo, Ref.pin(name, model)))

    def pin(self, name: str, commit: str, model: str = "chat", repo: RepoId = REPO) -> None:
        step = pin.plan(self[name], model, repo, commit)
        move.carry_out([step], Reason(self.by, "to see"))

    def rollback(self, name: str, to: str | None = None, model: str = "chat") -> None:
        step = rollback.plan(self[name], model, to)
        move.carry_out([step], Reason(self.by, "it was worse"))

    def plan(self, source: str, target: str, *models: str) -> Promotion:
        return promote.decide(self.environments, source, target, models)

    def promote(self, source: str, target: str, *models: str) -> None:
        carry_out(self.plan(source, target, *models), by=self.by, why="it is good")


def trust_in(project: Path, names: Sequence[str], path: str) -> None:
    """Says in environments.yaml where the trust policy of these environments is."""
    file = project / "values/environments.yaml"
    value = yaml.safe_load(file.read_text())
    for name in names:
        value["environments"][name]["trust"] = path
    file.write_text(yaml.safe_dump(value, sort_keys=False))


def new_world(project: Path) -> World:
    """Directory stores inside the project, named relatively, so that it can be copied."""
    (project / "values").mkdir(parents=True)
    places = {name: {"store": f"stores/{name}"} for name in NAMES}
    text = yaml.safe_dump({"environments": places}, sort_keys=False)
    (project / "values/environments.yaml").write_text(text)
    world = World(project)
    for name in NAMES:
        world.store(name).init()
    return world
