"""Failures of stores and of what they hold."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class NotAStore(WaybillError):
    """The bucket or directory exists but holds no store.json."""

    sentence = "{url} is not a Waybill store: it has no store.json"
    hint = "check the path or prefix; if it is to become one: waybill store init {url}"
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
    hint = (
        "check the credentials, which expire if they are temporary, and their policy; "
        "of a directory, its owner, its mode and how it is mounted"
    )
    exit_code = 1
    status = 503


class ClockWrong(WaybillError):
    """The store takes no request whose date is too far from its own clock."""

    sentence = "the store {url} refuses access, for this machine's clock is {off}"
    hint = "set the clock right, here or on the server (timedatectl, NTP), and run it again"
    exit_code = 1
    status = 503


class StoreFull(WaybillError):
    """There is no room left for what is being written."""

    sentence = "{url} is full: {why}"
    hint = "make room, then run the command again: what is finished is not sent twice"
    exit_code = 1
    status = 507


class StoreTooSmall(WaybillError):
    """What is to be written cannot fit, so nothing of it was sent."""

    sentence = "{url} has room for {room} bytes, and {needed} are to be written"
    hint = (
        "make room, or give the store more, and run the command again; where --capacity or "
        "capacity in values/environments.yaml says too little, correct it"
    )
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


class BeingPruned(WaybillError):
    """Somebody prunes the store, and no ref may move meanwhile."""

    sentence = "the store {url} is being pruned by {by}"
    hint = "run the command again when that has ended; one that was killed counts for 5 minutes"
    exit_code = 7
    status = 503


class PruneHeldUp(WaybillError):
    """A prune was away for so long that writers no longer wait for it."""

    sentence = "pruning {url} was held up for too long, and has stopped"
    hint = "run the command again: it goes on from there; if it fails again, set this clock right"
    exit_code = 7


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


class RevisionPruned(WaybillError):
    """The history names a commit that the store has no more, or never had: histories cross gaps."""

    sentence = (
        "{commit} is in the history of {repo}, but not in {url}: it was pruned, or never came there"
    )
    hint = "sideload its bundle, or choose another commit of the history with --to"
    exit_code = 2
    status = 404


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
        "waybill verify says which parts of a bundle or blobs of a store are bad; bring good ones: "
        "sideload --repair replaces those of a store"
    )
    exit_code = 4


class SourceCorrupt(Corrupt):
    """A source gives other bytes than it names the digest of, or than --source-sha256 does."""

    hint = (
        "run the command again; if it stays so, correct --source-sha256 or SHA256SUMS where they "
        "are wrong, or have the source mended"
    )
