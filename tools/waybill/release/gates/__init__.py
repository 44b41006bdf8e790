"""Gates: what has to be so before a promotion, each judged with a reason and the rule behind it.

A gate reads stores, evidence and files, never a cluster. It passes, fails, or is skipped where no
rule asks for it; what it could not find out is an error, which denies like a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NoReturn

from waybill.errors import Frozen, PromotionDenied, WaybillError
from waybill.release.gates import approvals, custom, evidence, stores, times
from waybill.release.gates.case import Case, Finding, Result, Subject, Verdict

OF_MODELS: Mapping[str, Callable[[Subject], Finding]] = {
    "repo": stores.repo,
    "license": stores.license_,
    "signature": stores.signature,
    "signer": stores.signer,
    "bytes": stores.contents,
    "soak": evidence.soak,
    "health": evidence.health,
    "evaluation": evidence.evaluation,
    "hold": times.hold,
}
"""Those that look at each model by itself."""
OF_PLANS: Mapping[str, Callable[[Case], Finding]] = {
    "approvals": approvals.approvals,
    "freeze": times.freeze,
}
"""Those that look at the plan as a whole."""


def judge(case: Case) -> list[Verdict]:
    """Every gate's verdict: of each model, then of the plan, then the site's own."""
    found = [
        _verdict(case, name, partial(gate, subject), subject.model)
        for subject in case.subjects
        for name, gate in OF_MODELS.items()
    ]
    found += [_verdict(case, name, partial(gate, case)) for name, gate in OF_PLANS.items()]
    commands = case.rules.commands.items()
    return found + [
        _verdict(case, name, partial(custom.run, case, name, command)) for name, command in commands
    ]


def _verdict(
    case: Case, gate: str, look: Callable[[], Finding], model: str | None = None
) -> Verdict:
    try:
        found = look()
    except WaybillError as error:
        own = ("gates", gate) if gate in case.rules.commands else ()
        found = Finding(Result.ERROR, str(error), case.rule(*own))
    skipped = found.result is Result.SKIP and gate in case.rules.require and not found.later
    denies = skipped or found.result in (Result.FAIL, Result.ERROR)
    file, line = found.rule
    return Verdict(gate, model, found.result, found.reason, denies, file, line)


def require(case: Case, verdicts: Sequence[Verdict]) -> None:
    """Raises PromotionDenied, or Frozen where it is the freeze alone that denies.

    Its details have the plan's digest and all verdicts.
    """
    denying = [one for one in verdicts if one.denies]
    if not denying:
        return
    try:
        _deny(case, denying)
    except WaybillError as error:
        error.details = {"plan": case.digest, "gates": [one.as_json() for one in verdicts]}
        raise


def _deny(case: Case, denying: Sequence[Verdict]) -> NoReturn:
    if not case.policy.exists:
        # Trust alone denies, and says it best itself.
        for subject in case.subjects:
            stores.require_signature(subject)
    if {one.gate for one in denying} == {"freeze"} and (frozen := times.frozen(case)):
        window = f"{frozen.window.name} in {denying[0].place}"
        raise Frozen(environment=case.target, until=frozen.told(window))
    raise PromotionDenied(source=case.source, target=case.target, why="; ".join(_told(denying)))


def _told(denying: Sequence[Verdict]) -> Iterator[str]:
    for one in denying:
        of = f" of {one.model}" if one.model else ""
        skipped = "is required and was skipped: " if one.result is Result.SKIP else ""
        yield f"{one.gate}{of} ({one.place}): {skipped}{one.reason}"
