"""Status: which revision of each model each environment runs, and what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.pins import Pin, Pins
from waybill.errors import WaybillError
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head, Record
from waybill.store.store import Store
from waybill.store.work import parallel


@dataclass(frozen=True)
class Standing:
    """What a ref holds, the record by which it came there, and the commit that it left for it.

    A record that stays at its commit puts on a hold, or releases one.
    """

    head: Head
    first: Record
    left: str | None

    @classmethod
    def of(cls, store: Store, repo: RepoId, ref: Ref) -> Standing | None:
        head = store.head(repo, ref)
        if head is None:
            return None
        first = head.record
        for each in store.chain(head):
            if each.commit != head.commit:
                return cls(head, first, each.commit)
            first = each.record
        return cls(head, first, None)


@dataclass(frozen=True)
class Cell:
    """One model in one environment: its pin, how the store's ref stands, who is ahead.

    `pin` is None where only the store knows the model, `standing` where the store does not know
    it or cannot be read. `behind` names the environment before when that pins another commit, and
    was not held back from this one.
    """

    pin: Pin | None
    standing: Standing | None
    behind: str | None = None

    @property
    def head(self) -> Head | None:
        return self.standing.head if self.standing else None

    @property
    def pinned(self) -> str | None:
        return self.pin.stable.commit if self.pin else None

    @property
    def stands(self) -> str | None:
        return self.head.commit if self.head else None


@dataclass(frozen=True)
class Place:
    """One environment: its store, why that cannot be read (or None), its models by name."""

    environment: str
    store: str
    error: WaybillError | None
    models: Mapping[str, Cell]

    def differs(self, model: str) -> bool:
        """Whether the pins file says another thing than the store, which could be read."""
        cell = self.models[model]
        return self.error is None and cell.pinned != cell.stands


def status(environments: Environments) -> list[Place]:
    """In promotion order. A store that cannot be read is told in its place. Raises BadFile."""
    held = {name: pins.load(place.pins_path) for name, place in environments.items()}
    repos = _repos(held)
    seen = parallel(partial(_look, repos), environments.values())
    places: list[Place] = []
    for place, (found, error) in zip(environments.values(), seen, strict=True):
        pinned, before = held[place.name].models, places[-1] if places else None
        cells = {
            model: _cell(pinned.get(model), found.get(model), before, model) for model in repos
        }
        known = {model: cell for model, cell in cells.items() if cell.pin or cell.head}
        places.append(Place(place.name, place.store, error, known))
    return places


def _repos(held: Mapping[str, Pins]) -> dict[str, str]:
    """The repo of each model that any environment pins, by model in order of name."""
    found = {model: pin.stable.repo for each in held.values() for model, pin in each.models.items()}
    return dict(sorted(found.items()))


def _look(
    repos: Mapping[str, str], environment: Environment
) -> tuple[dict[str, Standing | None], WaybillError | None]:
    """How the store's refs stand, by model, and why they cannot be read."""
    try:
        store = environment.connect()
        pinned = pins.load(environment.pins_path).models
        found = {}
        for model, repo in repos.items():
            spelled = pinned[model].stable.repo if model in pinned else repo
            ref = Ref.pin(environment.name, model)
            found[model] = Standing.of(store, RepoId.parse(spelled), ref)
    except WaybillError as error:
        return {}, error
    return found, None


def _cell(pin: Pin | None, standing: Standing | None, before: Place | None, model: str) -> Cell:
    cell = Cell(pin, standing)
    ahead = before.models.get(model) if before else None
    if before is None or ahead is None or ahead.pinned in (None, cell.pinned):
        return cell
    held = ahead.standing if ahead.head and ahead.head.record.hold else None
    return cell if held and held.left == cell.pinned else replace(cell, behind=before.environment)
