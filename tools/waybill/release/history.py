"""History: the chain of records behind a model's pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.errors import BlobMissing, Corrupt, UnknownModel, WaybillError
from waybill.release import move
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Record
from waybill.store.work import parallel


@dataclass(frozen=True)
class History:
    """Records by environment, newest first, and why the other environments cannot be read."""

    records: Mapping[str, list[Record]]
    errors: Mapping[str, str]


def history(environments: Environments, model: str, environment: str | None = None) -> History:
    """Of one environment, or of all that pin the model.

    A store that cannot be read is told in `errors`, or raised when it alone was asked for.
    Raises UnknownEnvironment, UnknownModel, BlobMissing or Corrupt when the chain is broken.
    """
    move.check_model(model)
    asked = [environments[environment]] if environment else list(environments.values())
    pinned = [(place, repo) for place in asked if (repo := _repo(place, model))]
    if not pinned:
        raise UnknownModel(model=model, environment=environment or next(iter(environments)))

    def look(known: tuple[Environment, RepoId]) -> list[Record] | str:
        try:
            return _chain(*known, model)
        except (BlobMissing, Corrupt):
            raise
        except WaybillError as error:
            if environment:
                raise
            return str(error)

    seen = {
        place.name: told for (place, _), told in zip(pinned, parallel(look, pinned), strict=True)
    }
    return History(
        {name: told for name, told in seen.items() if not isinstance(told, str)},
        {name: told for name, told in seen.items() if isinstance(told, str)},
    )


def _repo(environment: Environment, model: str) -> RepoId | None:
    pin = pins.load(environment.pins_path).models.get(model)
    return RepoId.parse(pin.stable.repo) if pin else None


def _chain(environment: Environment, repo: RepoId, model: str) -> list[Record]:
    return list(environment.connect().history(repo, Ref.pin(environment.name, model)))
