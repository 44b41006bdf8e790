"""Failures of tests that are to become evidence, of evidence itself, and of edits of values."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class CommandNotRun(WaybillError):
    """The command of `waybill attest` could not be started, so there is no result."""

    sentence = "{command!r} cannot be run: {why}"
    hint = "give a program that is in PATH, and its arguments, behind --"
    exit_code = 2


class NoTestReport(WaybillError):
    """The test ended well and left no JUnit file, so nobody knows what it has tested."""

    sentence = "{path} was not written by the test"
    hint = "have the test write its JUnit report there, or leave --junit out"
    exit_code = 2


class EngineUnreachable(WaybillError):
    """The address of the smoke evaluation does not answer."""

    sentence = "{url} cannot be asked: {why}"
    hint = "check that the engine or the gateway runs there, and the network, then run it again"
    exit_code = 7


class EngineRefused(WaybillError):
    """The engine or the gateway answers, but takes no question."""

    sentence = "{url} takes no question: HTTP {status}, {why}"
    hint = "check the token (--token-file) and the names in servedNames"


class OtherRevisionAnswers(WaybillError):
    """The answers are not those of the revision that the evidence would be about."""

    sentence = "{url} answers with {found}, and not with {commit}"
    hint = (
        "roll the revision out first; while two revisions share the traffic, ask the engine of "
        "this one instead of the gateway"
    )


class NothingKnown(WaybillError):
    """No environment's store holds this revision, so there is nothing to be told of it."""

    sentence = "no store of {environments} has {what}"
    hint = "waybill status and waybill inventory list what there is; check the spelling"
    exit_code = 2


class Superseded(WaybillError):
    """An older medium is applied after a newer one: to follow it would be a rollback."""

    sentence = "{environment} has moved {model} on since the plan {plan}"
    hint = (
        "nothing is left to do for this medium; to go to another revision of the history on "
        "purpose, use waybill rollback --to"
    )
    exit_code = 7


class CannotSet(WaybillError):
    """A value of a people's file cannot be changed without touching more than its own line."""

    sentence = "{key} of {path} cannot be set: {why}"
    hint = "edit that place by hand; the file is as it was"
    exit_code = 2


class EditedMeanwhile(WaybillError):
    """A people's file has changed since it was read, and what was saved there must not be lost."""

    sentence = "somebody has changed {path} meanwhile"
    hint = "run the command again; the file is as they have left it"
    exit_code = 7


class NotApplied(WaybillError):
    """A bundle is to carry a promotion that has not happened on this side."""

    sentence = "the plan {plan} was not applied to {model} in {environment}"
    hint = "apply it on this side first: waybill apply PLAN; what crosses the gap has happened"
    exit_code = 2


class NothingToReplay(WaybillError):
    """No promotion of this bundle is known in the stores of this side, or none may be believed."""

    sentence = "{what} brings no promotion that can be replayed: {why}"
    hint = (
        "load it first (waybill sideload); it must be packed with --plan and --key, by a key that "
        "the trust policy of the environment has a name for"
    )
    exit_code = 3


class BrokenHistory(WaybillError):
    """The steps that a bundle brings do not lead from one to the next, or not to its plan."""

    sentence = "the history of {model} in {environment} that came along is not whole: {why}"
    hint = "have the bundle packed again, on the side that the promotion was made on"
    exit_code = 4
