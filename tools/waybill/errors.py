"""Every error once: its sentence, the way out, exit code, HTTP status and Hugging Face code.

A class attribute `sentence` is a format string over the facts given at the place of the
failure; `hint` says what to do next. The command line, the hub's answers and the generated
reference (tools/docs/errors.md) are all derived from these classes.

Exit codes: 0 ok, 1 error, 2 usage or specification, 3 gate or policy denied, 4 integrity,
5 changes or drift, 6 frozen, 7 retryable or lost race, 130 interrupted and resumable.
"""

from __future__ import annotations

from typing import ClassVar


class WaybillError(Exception):
    """The root of all expected failures. Anything else that escapes is a bug."""

    sentence: ClassVar[str] = "something failed"
    hint: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    hf_code: ClassVar[str | None] = None

    def __init__(self, **facts: object) -> None:
        self.facts = facts
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


# Usage and specification.


class BadValue(WaybillError):
    """An argument or a setting has a form that cannot be used."""

    sentence = "{what} {value!r} is not usable: {why}"
    hint = "correct {what} and run the command again"
    exit_code = 2
    status = 400


class BadFile(WaybillError):
    """A file that people or tools keep (environments, pins, index) does not fit its format."""

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


# Stores.


class NotAStore(WaybillError):
    """The bucket or directory exists but holds no store.json."""

    sentence = "{url} is not a Waybill store: it has no store.json"
    hint = "make it one: waybill store init {url}"
    exit_code = 2
    status = 503


class StoreFormatUnknown(WaybillError):
    """store.json names a format that this version does not know."""

    sentence = "{url} has store format {found}, and this version knows only {known}"
    hint = "use the version of waybill that wrote it, or a newer one"
    exit_code = 2
    status = 503


class BucketNotFound(WaybillError):
    """The bucket does not exist."""

    sentence = "the bucket {bucket!r} does not exist at {url}"
    hint = "create the bucket, or correct its name"
    exit_code = 2
    status = 503


class StoreUnreachable(WaybillError):
    """The store does not answer, or answers that it cannot now."""

    sentence = "the store {url} cannot be reached: {why}"
    hint = "check the endpoint, the network and the CA bundle, then run the command again"
    exit_code = 7
    status = 503


class AccessDenied(WaybillError):
    """The store refuses these credentials, or there are none."""

    sentence = "the store {url} refuses access: {why}"
    hint = "check the credentials and their policy; of a directory, its owner and mode"
    exit_code = 1
    status = 503


class StoreFull(WaybillError):
    """There is no room left for what is being written."""

    sentence = "{url} is full: {why}"
    hint = "make room, then run the command again: what is finished is not sent twice"
    exit_code = 1
    status = 507


class NoConditionalWrites(WaybillError):
    """The store's server cannot compare-and-swap, so two writers could overwrite each other."""

    sentence = "{url} has no conditional writes, so {what} is not safe with two writers"
    hint = "use another server, or --single-writer when nobody else writes to it"
    exit_code = 2
    status = 503


class RefMoved(WaybillError):
    """Another writer moved the ref first."""

    sentence = "{ref} of {repo} was moved by somebody else meanwhile"
    hint = "look at waybill history, then run the command again if it is still wanted"
    exit_code = 7
    status = 409


class RepoNotFound(WaybillError):
    """The store has no revision of this repo."""

    sentence = "there is no repo {repo} in {url}"
    hint = "sideload it first, or check the spelling"
    exit_code = 2
    status = 404
    hf_code = "RepoNotFound"


class RevisionNotFound(WaybillError):
    """The repo exists; this branch, tag or commit does not."""

    sentence = "{repo} has no revision {revision!r} in {url}"
    hint = "sideload it first, or check the spelling"
    exit_code = 2
    status = 404
    hf_code = "RevisionNotFound"


class EntryNotFound(WaybillError):
    """The revision exists; this file does not."""

    sentence = "{repo} at {revision} has no file {path!r}"
    hint = "the revision's files are listed by the hub's tree API"
    exit_code = 2
    status = 404
    hf_code = "EntryNotFound"


class BlobMissing(WaybillError):
    """A revision names a blob that the store does not hold."""

    sentence = "{url} lacks {digest}, which {needed_by} needs"
    hint = "sideload or promote the revision again: only what is missing is sent"
    exit_code = 4


class Corrupt(WaybillError):
    """The bytes are not those that the digest names."""

    sentence = "{what} is corrupt: expected {expected}, found {found}"
    hint = (
        "waybill verify says which parts of a bundle or blobs of a store are bad; bring good ones"
    )
    exit_code = 4


# Sources and bundles.


class SourceUnreachable(WaybillError):
    """The source does not answer, or refuses."""

    sentence = "the source {source} cannot be read: {why}"
    hint = "check the address, the network and the token, then run the command again"
    exit_code = 7


class Unreadable(WaybillError):
    """A local file or directory cannot be read."""

    sentence = "{path} cannot be read: {why}"
    hint = "check the path, its permissions and the medium, then run the command again"
    exit_code = 1


class SourceChanged(WaybillError):
    """A file changed while it was packed, so no digest of it would be true."""

    sentence = "{path} changed while it was packed"
    hint = "wait until nothing writes to {source}, then run the command again: it begins anew"
    exit_code = 1


class NothingToPack(WaybillError):
    """The source has no file that serving needs."""

    sentence = "{source} has nothing to pack: {why}"
    hint = "check the source; --dry-run shows what is kept and dropped"
    exit_code = 2


class PickleRefused(WaybillError):
    """Pickled weights can run code when they are loaded."""

    sentence = "{source} has only pickled weights for {paths}"
    hint = "convert them to safetensors, or pass --allow-pickle if you trust their origin"
    exit_code = 2


class NotABundle(WaybillError):
    """No bundle.json was found."""

    sentence = "{where} is not a bundle: no bundle.json is there"
    hint = "give the directory, or all directories, with bundle.json and the parts"
    exit_code = 2


class ForeignBundle(WaybillError):
    """The output directory, or one of several media, belongs to another bundle."""

    sentence = "{where} holds another bundle"
    hint = "use an empty directory, or the media of one bundle together"
    exit_code = 2


class BeingPacked(WaybillError):
    """Another run writes to the same output directory now."""

    sentence = "another waybill pack is writing to {where}"
    hint = "wait until it has ended, then run the command again: it goes on from there"
    exit_code = 7


class PartMissing(WaybillError):
    """Parts that are needed are on none of the given media."""

    sentence = "missing: {parts}; looked in {where}"
    hint = "insert the medium with {parts} and name its directory too"
    exit_code = 2


class PartTruncated(WaybillError):
    """A part has another size than the index says."""

    sentence = "{part} has {found} bytes instead of {expected}"
    hint = "copy {part} again from the original medium"
    exit_code = 4


class ForeignPart(WaybillError):
    """A part's members are not those of the index: it belongs to another bundle."""

    sentence = "{part} is not a part of this bundle: {why}"
    hint = "bring the {part} that was packed together with this bundle.json"
    exit_code = 4


class MediaFull(WaybillError):
    """The output cannot hold what is written to it."""

    sentence = "{where} is too small: {needed} needed, {free} free"
    hint = "make room there, or choose another --out (pack takes several); a rerun goes on"
    exit_code = 1
