"""Status: which revision of each model each environment runs, and what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.pins import Pin, Pins
from waybill.errors import WaybillError
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head
from waybill.store.work import parallel


@dataclass(frozen=True)
class Cell:
    """One model in one environment: its pin, what the store's ref holds, who is ahead.

    `pin` is None where only the store knows the model, `head` where the store does not know
    it or cannot be read. `behind` names the environment before when that pins another commit.
    """

    pin: Pin | None
    head: Head | None
    behind: str | None = None

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
    places = []
    before: str | None = None
    for place, (heads, error) in zip(environments.values(), seen, strict=True):
        cells = {model: _cell(held, place.name, before, model, heads.get(model)) for model in repos}
        known = {model: cell for model, cell in cells.items() if cell.pin or cell.head}
        places.append(Place(place.name, place.store, error, known))
        before = place.name
    return places


def _repos(held: Mapping[str, Pins]) -> dict[str, str]:
    """The repo of each model that any environment pins, by model in order of name."""
    found = {model: pin.stable.repo for each in held.values() for model, pin in each.models.items()}
    return dict(sorted(found.items()))


def _look(
    repos: Mapping[str, str], environment: Environment
) -> tuple[dict[str, Head | None], WaybillError | None]:
    """What the store's refs hold, by model, and why they cannot be read."""
    try:
        store = environment.connect()
        pinned = pins.load(environment.pins_path).models
        heads = {}
        for model, repo in repos.items():
            spelled = pinned[model].stable.repo if model in pinned else repo
            ref = Ref.pin(environment.name, model)
            heads[model] = store.head(RepoId.parse(spelled), ref)
    except WaybillError as error:
        return {}, error
    return heads, None


def _cell(
    held: Mapping[str, Pins], name: str, before: str | None, model: str, head: Head | None
) -> Cell:
    cell = Cell(held[name].models.get(model), head)
    ahead = held[before].models.get(model) if before else None
    late = ahead is not None and ahead.stable.commit != cell.pinned
    return Cell(cell.pin, head, before if late else None)
