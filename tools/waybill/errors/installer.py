"""Failures of releases for Replicated's installers."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class ImagesCollide(WaybillError):
    """Two images would get one name in the registry that KOTS keeps."""

    sentence = "{first} and {second} would both be {name} in the installer's own registry"
    hint = "copy one of them to a repository whose last part is another, and name that in --values"
    exit_code = 2


class ReleaseRefused(WaybillError):
    """A release breaks rules by which installers would refuse it, or install it wrongly."""

    sentence = "the release in {folder} breaks {count}: {first}"
    hint = "correct what is named above in what you gave; nothing was written"
    exit_code = 2
