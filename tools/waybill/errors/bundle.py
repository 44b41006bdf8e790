"""Failures of sources, bundles and media."""

from __future__ import annotations

from waybill.errors.base import BadFile, WaybillError


class SourceUnreachable(WaybillError):
    """The source does not answer, or refuses."""

    sentence = "the source {source} cannot be read: {why}"
    hint = "check the address, the network and the token, then run the command again"
    exit_code = 7


class SourceRefused(WaybillError):
    """The source answered, and did not let us in."""

    sentence = "the source {source} refuses access: {why}"
    hint = "check {credentials}"
    exit_code = 1


class SourceNotFound(WaybillError):
    """The source answers, but what was named is not there."""

    sentence = "there is nothing at {source}: {why}"
    hint = "check the address and its spelling"
    exit_code = 2


class OutsideRoots(WaybillError):
    """Sources of this machine are confined to some directories, and this one is in none of them."""

    sentence = "{path} is not below {roots}, and sources of this machine have to be"
    hint = "move it there, or have the directory allowed: --allow-root, WAYBILL_SOURCE_ROOTS"
    exit_code = 3


class NotAModel(WaybillError):
    """What was found is not an artifact whose files can be told."""

    sentence = "{source} cannot be packed: {why}"
    hint = "push it as ModelPack, as ModelKit or with oras, or pack its files from a directory"
    exit_code = 2


class BadSums(NotAModel):
    """A web server gives no list of digests, or one that contradicts itself."""

    hint = "check that the URL leads there; a new one: sha256sum FILE … > SHA256SUMS"


class OtherRevision(WaybillError):
    """What the hub gave is right in itself, but not the revision that was asked for."""

    sentence = "{source} gives {found} for {expected}"
    hint = (
        "of an upstream commit only --digest says which bytes are meant; otherwise the hub reads "
        "another store than the one that was pinned from"
    )
    exit_code = 4


class Unreadable(WaybillError):
    """A local file or directory cannot be read."""

    sentence = "{path} cannot be read: {why}"
    hint = "check the path, its permissions and the medium, then run the command again"
    exit_code = 1


class Unwritable(WaybillError):
    """A medium refuses what is written to it, and is not full."""

    sentence = "{path} cannot be written: {why}"
    hint = "check the medium and its permissions, or choose another --out; a rerun goes on"
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


class BadIndex(BadFile):
    """A bundle.json is of a format that this version does not know, or contradicts itself."""

    hint = "use the version of waybill that has packed it, or have it packed again"


class DamagedIndex(WaybillError):
    """The bytes of a bundle.json are not those that were written."""

    sentence = "{path} is damaged: {why}"
    hint = "copy it again from another medium of the bundle, which all have the same one"
    exit_code = 4


class NotABundle(WaybillError):
    """No bundle.json was found."""

    sentence = "{where} is not a bundle: no bundle.json is there"
    hint = (
        "give the directory, or all directories, with bundle.json and the parts; a model's own "
        "directory becomes --as OWNER/NAME"
    )
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


class BaseMissing(WaybillError):
    """A bundle of changes comes to a store that lacks what it builds on."""

    sentence = (
        "the bundle leaves out what {base} has, and {url} lacks {count} of these files, as {path}"
    )
    hint = "sideload that first; or pack again with --base and `waybill inventory` of this store"
    exit_code = 2


class BaseDamaged(WaybillError):
    """What a bundle of changes builds on is in the store, and not as it should be."""

    sentence = (
        "the bundle leaves out what {base} has, and {count} of these files are damaged in {url}, "
        "as {path}"
    )
    hint = "sideload the bundle that has them with --repair, then run this again"
    exit_code = 4


class PartMissing(WaybillError):
    """Parts that are needed are on none of the given media."""

    sentence = "missing: {parts}; looked in {where}"
    hint = "insert the medium with {parts} and name its directory too; --wait asks for one by one"
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
