"""Failures of promotion as a discipline: plans, gates, approvals, freezes and holds."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class PromotionDenied(WaybillError):
    """A gate of the policy did not pass, so nothing was written."""

    sentence = "{source} → {target} is denied: {why}"
    hint = "waybill plan --from {source} --to {target} shows every gate; mend what fails"
    exit_code = 3
    status = 403


class Frozen(WaybillError):
    """The target is in a window of the policy that denies, or outside of all that allow."""

    sentence = "{environment} is frozen {until}"
    hint = "wait for its end; what cannot wait: --override-freeze REASON, which is kept"
    exit_code = 6
    status = 403


class PlanOutdated(WaybillError):
    """What the plan was made from has changed since, so it is not what was looked at."""

    sentence = "{path} does not fit any more: {what}"
    hint = "make a new plan, have it approved, and apply that"
    exit_code = 7
    status = 409


class NotOnHold(WaybillError):
    """There is no hold that could be released."""

    sentence = "{model} in {environment} is not on hold"
    hint = "waybill history {model} --env {environment} shows who held and who released it"
    exit_code = 2


class GateBroken(WaybillError):
    """A custom gate of the policy gave no verdict."""

    sentence = "the gate {gate} ({command}) gave no verdict: {why}"
    hint = "run the command by hand: it reads the plan as JSON and prints result and reason as JSON"
    exit_code = 3


class Declined(WaybillError):
    """A person was asked and did not say yes."""

    sentence = "nothing was promoted, as it was not confirmed"
    hint = "answer yes, or give --yes where nobody can be asked"
    exit_code = 1
