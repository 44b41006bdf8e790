"""What all errors are made of, and those of usage and specification."""

from __future__ import annotations

from typing import Any, ClassVar


class WaybillError(Exception):
    """The root of all expected failures. Anything else that escapes is a bug."""

    sentence: ClassVar[str] = "something failed"
    hint: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    hf_code: ClassVar[str | None] = None

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        self.details: dict[str, Any] = {}
        """What `--json` gives beside sentence and hint."""
        super().__init__(self.sentence.format(**facts))

    @property
    def advice(self) -> str:
        return self.hint.format(**self.facts)


class Interrupted(WaybillError):
    """The user stopped the work; what is finished stays and a rerun goes on from there."""

    sentence = "interrupted"
    hint = "run the same command again: it goes on where it stopped"
    exit_code = 130
    status = 503


class BadValue(WaybillError):
    """An argument or a setting has a form that cannot be used."""

    sentence = "{what} {value!r} is not usable: {why}"
    hint = "correct {what} and run the command again"
    exit_code = 2
    status = 400


class BadFile(WaybillError):
    """A file that people or tools keep (environments, pins) does not fit its format."""

    sentence = "{path} cannot be used: {why}"
    hint = "correct the file, or bring back its last good version"
    exit_code = 2


class UnsafePath(WaybillError):
    """A path leaves the place it belongs to, or is not a plain file."""

    sentence = "{path!r} in {where} is refused: {why}"
    hint = "remove or rename it at the source and pack again"
    exit_code = 2
    status = 400


class UnknownEnvironment(WaybillError):
    """The environment is not in environments.yaml."""

    sentence = "there is no environment {name!r} in {path}"
    hint = "use one of: {known}"
    exit_code = 2


class UnknownModel(WaybillError):
    """The model has no pin in this environment."""

    sentence = "no model {model!r} is pinned in {environment}"
    hint = "bring it there: waybill promote, or waybill pin {environment} {model} REPO@COMMIT"
    exit_code = 2


class NothingPinned(WaybillError):
    """The environment pins no model at all, so there is nothing to promote."""

    sentence = "nothing is pinned in {environment}"
    hint = "pin a model first: waybill pin {environment} MODEL OWNER/NAME@COMMIT"
    exit_code = 2


class NotACommit(WaybillError):
    """A branch, tag or short id was given where only an exact commit will do."""

    sentence = "an exact commit of 40 hex digits is needed, and {revision!r} is not one"
    hint = "{revision} is {commit} now; give that if it is what you mean"
    exit_code = 2
    status = 400


class OtherRepo(WaybillError):
    """A model's pin would change its repo, so that no one ref could decide between two writers."""

    sentence = "{model} in {environment} is pinned to the repo {pinned}, not {repo}"
    hint = "give {repo} a model name of its own; servedNames moves the clients over"
    exit_code = 2


class WrongStep(WaybillError):
    """A promotion goes to the next environment in order, never back and never past one."""

    sentence = "{source} is not promoted to {target}: {follows}"
    hint = "promote one step at a time, in the order of environments.yaml: {order}"
    exit_code = 2


class PinsDiffer(WaybillError):
    """Pins file and store disagree: a command was interrupted, or the file is an old version."""

    sentence = "{path} pins {model} at {pinned}, but the store's ref stands at {stands}"
    hint = (
        "run the interrupted command again, or take the newest pins file, or say which is meant: "
        "waybill pin {environment} {model} {repo}@COMMIT"
    )


class NothingToRollBack(WaybillError):
    """The history of this pin holds no earlier commit."""

    sentence = "{model} in {environment} has no earlier commit to go back to"
    hint = "waybill history {model} --env {environment} lists what there is"
    exit_code = 2


class AlreadyBack(WaybillError):
    """A rollback is said again, and the commit before is by now the one that was bad."""

    sentence = "{model} in {environment} has gone back to {commit} from {bad}, and is on hold"
    hint = (
        "bring it to the cluster: waybill install {environment}; or say where to: "
        "waybill rollback {environment} {model} --to COMMIT"
    )
    exit_code = 2
