"""Deploy: a model from its source into an environment's store, its values and its pins.

Bytes first, then the values file, and the pin last: whatever stops it, the environment runs what it
ran before, and the same command again finishes the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waybill.bundle.cargo import Cargo
from waybill.bundle.format import Revision
from waybill.bundle.sideload import Decision, Loading
from waybill.deliver import pins, values
from waybill.deliver.environments import Environment
from waybill.errors import BadValue, OtherRepo
from waybill.release import move, pin
from waybill.release.move import Move, Reason
from waybill.sign.trust import Policy
from waybill.store.base import Advance, no_progress
from waybill.store.store import Store


def lasting(source: str, folder: Path) -> str:
    """The source, a path relative to the folder made absolute: so it says the same everywhere."""
    return source if "://" in source else str((folder / source).absolute())


def source_of(environment: Environment, model: str, given: str | None, project: Path) -> str:
    """Where a model comes from: as people say, else as its entry of the values file does, where a
    path is relative to the project directory.

    Raises BadValue, BadFile.
    """
    move.check_model(model)
    if given:
        return given
    said = values.model(environment.values_path, model).get("source")
    if not said:
        why = f"global.models.{model} of {environment.values_path} names none"
        raise BadValue(what="--source", value="", why=why)
    if not isinstance(said, str):
        why = f"global.models.{model}.source of {environment.values_path} is no text"
        raise BadValue(what="--source", value=said, why=why)
    return lasting(said, project)


def check_choice(environment: Environment, store: Store, model: str, revision: Revision) -> None:
    """Raises BadValue where a source that was remembered gives other files than are pinned.

    The values file remembers the source, and not what of it was chosen, or by which flags.
    """
    pin = pins.load(environment.pins_path).models.get(model)
    if pin is None or store.revision(revision.repo, pin.stable.commit) is None:
        return
    held = set(store.manifest(revision.repo, pin.stable.commit).by_path)
    if other := sorted(held ^ set(revision.manifest.by_path)):
        there = "is pinned, and not in it now" if other[0] in held else "is in it, and not pinned"
        why = f"{other[0]} {there}: say the source again, with --include and all that was chosen"
        raise BadValue(what="--source", value="", why=why)


@dataclass(frozen=True)
class Deployment:
    """All that will be done, decided before anything is written."""

    environment: Environment
    model: str
    loading: Loading
    entry: Mapping[str, Any]
    """Keys of `global.models.<model>` that the values file gets."""
    single_writer: bool = False

    @classmethod
    def plan(
        cls,
        environment: Environment,
        store: Store,
        model: str,
        cargo: Cargo,
        entry: Mapping[str, Any],
        decision: Decision,
        policy: Policy | None = None,
        *,
        single_writer: bool = False,
    ) -> Deployment:
        """Raises OtherRepo, BadFile, CannotSet, and what `Loading.plan` does."""
        (revision,) = cargo.revisions
        held = pins.load(environment.pins_path).models.get(model)
        if held and held.stable.repo.lower() != str(revision.repo).lower():
            raise OtherRepo(
                model=model,
                environment=environment.name,
                pinned=held.stable.repo,
                repo=revision.repo,
            )
        values.with_model(environment.values_path, model, entry)
        loading = Loading.plan(cargo, store, decision, policy=policy)
        return cls(environment, model, loading, entry, single_writer)

    @property
    def changes_values(self) -> bool:
        path = self.environment.values_path
        return values.read(path) != values.with_model(path, self.model, self.entry)

    def run(self, advance: Advance = no_progress) -> Move:
        """Raises what loading and pinning do; a rerun goes on.

        What people have written into the values file while the bytes were on their way stays.
        """
        loaded = self.loading.run(advance)[0]
        path = self.environment.values_path
        old, new = values.read(path), values.with_model(path, self.model, self.entry)
        if new != old:
            values.write(path, new, old)
        (revision,) = self.loading.cargo.revisions
        step = pin.plan(
            self.environment,
            self.model,
            revision.repo,
            loaded.commit,
            single_writer=self.single_writer,
        )
        said = self.loading.decision
        move.carry_out([step], Reason(said.by, said.why))
        return step
