"""Holds: what keeps a model of an environment as it is until somebody releases it.

A manual rollback says that the newer revision is not good here. Nothing is to bring it back before
a person has looked, so the record of the rollback puts a hold on the model, for everybody who reads
that store; another record, at the same commit, releases it.
"""

from __future__ import annotations

from waybill.deliver import pins
from waybill.deliver.environments import Environment, Environments
from waybill.errors import NotOnHold, UnknownModel
from waybill.release.policy import Policy
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Record


def puts_hold(environments: Environments) -> bool | None:
    """What the record of a manual rollback says of holds: on, where the project has a policy."""
    return Policy.load(environments).exists or None


def release(
    environment: Environment, model: str, *, by: str, why: str, single_writer: bool = False
) -> Record:
    """Let promotions move the model again; the record of the hold that was there.

    Raises UnknownModel, NotOnHold, RefMoved, NoConditionalWrites.
    """
    pin = pins.load(environment.pins_path).models.get(model)
    if pin is None:
        raise UnknownModel(model=model, environment=environment.name)
    store = environment.connect(single_writer=single_writer)
    repo, ref = RepoId.parse(pin.stable.repo), Ref.pin(environment.name, model)
    head = store.head(repo, ref)
    if head is None or not head.record.hold:
        raise NotOnHold(model=model, environment=environment.name)
    store.move(repo, ref, head.commit, expected=head, by=by, why=why, hold=False)
    return head.record
