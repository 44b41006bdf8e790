"""Failures of images and of the registries they go to."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class RegistryUnreachable(WaybillError):
    """The registry that images go to does not answer, or not as registries do."""

    sentence = "the registry {registry} cannot be used: {why}"
    hint = "check its name, the network and --registry-ca; a rerun sends only what is not there"
    exit_code = 7


class RegistryRefused(WaybillError):
    """The registry answered, and does not let us write or read."""

    sentence = "the registry {registry} refuses access: {why}"
    hint = "sign in with an account that may push there: {credentials}"
    exit_code = 1


class ImageMissing(WaybillError):
    """No place that was named has an image of the list."""

    sentence = "there is no image {image} in {where}"
    hint = "build or fetch it, or say where it is: --from REGISTRY, --archive FILE"
    exit_code = 2


class ImageTwice(WaybillError):
    """Archives have different images under one name, or a name is there for two registries."""

    sentence = "{image} is {first} in {one}, and {second} in {other}"
    hint = "leave out the --archive, or the image in it, that is not meant"
    exit_code = 2


class ImageUnusable(WaybillError):
    """What stands under an image's name cannot be carried."""

    sentence = "the image {image} cannot be used: {why}"
    hint = "see what it is with `crane manifest` or `skopeo inspect --raw`, and push a usable one"
    exit_code = 2


class ImageOfManyPlatforms(WaybillError):
    """The values pin the digest of an index, of which one platform alone would be carried."""

    sentence = (
        "{image} names the digest of an index of several platforms, and {platform} alone is carried"
    )
    hint = "set the image's digest in the values to {digest}, or to nothing"
    exit_code = 2


class SameName(WaybillError):
    """Two images would have one name in the registry they go to."""

    sentence = "{first} and {second} would both be {name}"
    hint = "let one of them have another repository or tag in the values"
    exit_code = 2


class ImagesNotWhole(WaybillError):
    """A bundle of changes: an image's layer is not in it, nor beside it, nor where it should go."""

    sentence = "{image} lacks {blob}, which came before with {base}, and is not in {where}"
    hint = "{step}, or save the images again without --base"
    exit_code = 2


class NoImages(WaybillError):
    """The bundle carries models alone."""

    sentence = "the bundle in {where} has no images"
    hint = "put them there with `waybill images save --out {where}`"
    exit_code = 2


class ChartLeftOut(WaybillError):
    """The bundle was saved without the chart."""

    sentence = "the bundle in {where} has no chart"
    hint = "save it into an empty folder, without --no-chart: `waybill images save --out DIR`"
    exit_code = 2


class BomLeftOut(WaybillError):
    """The bundle was saved by a version that listed nothing."""

    sentence = "the bundle in {where} has no list of what is in it"
    hint = "save it into an empty folder: `waybill images save --out DIR`"
    exit_code = 2


class ChartDiffers(WaybillError):
    """Another chart, or a changed one, is where that of the bundle should be."""

    sentence = "{path} is there, and is not {chart} of the bundle: {why}"
    hint = "keep what is yours elsewhere, then put the bundle's in its place: --replace"
    exit_code = 2


class ModelTooLarge(WaybillError):
    """A model is above what an image should hold."""

    sentence = (
        "{model} has {size} bytes, and an image should hold {limit} at most: every node would "
        "pull and unpack all of it before its first byte is read, twice the room, again after "
        "each change"
    )
    hint = (
        "sideload it into the store, which engines read from; or raise --limit, or "
        "images.modelLimit in values/environments.yaml"
    )
    exit_code = 3


class ArchiveUnwritable(WaybillError):
    """The file that an archive should become cannot be written."""

    sentence = "{path} cannot be written: {why}"
    hint = "check the folder, its permissions and the room there; a rerun begins anew"
    exit_code = 1


class LoaderFailed(WaybillError):
    """The program that takes images in ended with an error."""

    sentence = "{command} failed: {why}"
    hint = "see that it runs here and may be used by you; a rerun begins anew"
    exit_code = 1


class LoaderMissing(WaybillError):
    """There is nothing here that takes images in."""

    sentence = "{program} is not in PATH"
    hint = "run it on the node, or say which there is: --runtime containerd, docker or podman"
    exit_code = 2
