"""From a URL to a source. `FORMS` is the one table of what a source can be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from urllib.parse import unquote, unquote_to_bytes

from waybill.errors import BadValue
from waybill.source.base import Source
from waybill.source.directory import local_source
from waybill.source.reach import Reach
from waybill.store.connect import Access, check_endpoint, connect, local, refuse_credentials, split
from waybill.store.layout import RepoId

# The modules that take half a second to import are imported by those who need them.

NAMED = "owner/name@revision"


@dataclass(frozen=True)
class Form:
    """One kind of source. `takes`: what of Reach counts for it; anything else is refused."""

    pattern: str
    what: str
    takes: frozenset[str]
    open: Callable[[str, Reach], Source]


def _local(url: str, reach: Reach) -> Source:
    return local_source(local("source", url), reach.roots)


def _file(url: str, reach: Reach) -> Source:
    parts = split("source", url)
    if parts.netloc not in ("", "localhost"):
        raise BadValue(what="source", value=url, why="it must be file:///path, with three slashes")
    if "?" in url or "#" in url:
        why = "its path would end there; write %3F for '?' and %23 for '#', or the plain path"
        raise BadValue(what="source", value=url, why=why)
    path = os.fsdecode(unquote_to_bytes(parts.path))
    return local_source(local("source", path), reach.roots)


def _hugging_face(url: str, reach: Reach) -> Source:
    from waybill.source.huggingface import HuggingFaceSource

    repo, revision = _repo_and_revision(url.partition("://")[2])
    return HuggingFaceSource(repo, revision, endpoint=reach.endpoint, ca_bundle=reach.ca_bundle)


def _hub(url: str, reach: Reach) -> Source:
    from waybill.source.huggingface import HuggingFaceSource

    place, named = _place_and_name(url)
    endpoint = place.removeprefix("hub+")
    check_endpoint("source", endpoint)
    repo, revision = _repo_and_revision(named)
    return HuggingFaceSource(
        repo, revision, endpoint=endpoint, ca_bundle=reach.ca_bundle, signed=True
    )


def _s3(url: str, reach: Reach) -> Source:
    from waybill.source.s3 import S3Source

    bucket, _, path = url.partition("://")[2].partition("/")
    return S3Source(bucket, path, reach)


def _web(url: str, reach: Reach) -> Source:
    from waybill.source.website import WebsiteSource

    return WebsiteSource(url, reach)


def _oci(url: str, reach: Reach) -> Source:
    from waybill.source.oci import OciSource

    return OciSource(url, reach)


def _store(url: str, reach: Reach) -> Source:
    from waybill.source.waybill_store import StoreSource

    place, named = _place_and_name(url)
    place = place.removeprefix("store+")
    if place.startswith("file:"):
        reach.roots.check(local("source", unquote(split("source", place).path)))
    repo, revision = _repo_and_revision(named)
    store = connect(place, Access(reach.endpoint, reach.profile, reach.ca_bundle))
    return StoreSource(store, RepoId.parse(repo), revision)


def _claim(url: str, reach: Reach) -> Source:  # noqa: ARG001
    why = (
        "a claim is read in its cluster: waybill sideload --in-cluster; "
        "deploy it from the store then (store+s3://)"
    )
    raise BadValue(what="source", value=url, why=why)


_S3 = frozenset({"endpoint", "profile", "ca_bundle"})
_WEB = frozenset({"ca_bundle", "token_file", "client_certificate", "client_key", "sha256"})
_OCI = frozenset({"ca_bundle", "client_certificate", "client_key"})
_HERE = frozenset[str]()
_A_WEBSITE = Form("https://host/path/file", "a file, or all that a SHA256SUMS names", _WEB, _web)
_AN_ARTIFACT = Form("oci://registry/repository:tag", "an artifact in a registry", _OCI, _oci)
_A_HUB = Form(f"hub+https://host#{NAMED}", "a model hub", frozenset({"ca_bundle"}), _hub)
_A_STORE = Form(f"store+s3://bucket/prefix#{NAMED}", "a store of ours", _S3, _store)

FORMS: Mapping[str, Form] = {
    "": Form("./path", "a directory or a file", _HERE, _local),
    "file": Form("file:///path", "the same as a URL", _HERE, _file),
    "hf": Form(
        f"hf://{NAMED}",
        "a repo at a Hugging Face endpoint",
        frozenset({"endpoint", "ca_bundle"}),
        _hugging_face,
    ),
    "s3": Form("s3://bucket/prefix/", "objects of a bucket, or one", _S3, _s3),
    "https": _A_WEBSITE,
    "http": _A_WEBSITE,
    "oci": _AN_ARTIFACT,
    "oci+http": _AN_ARTIFACT,
    "hub+https": _A_HUB,
    "hub+http": _A_HUB,
    "store+s3": _A_STORE,
    "store+file": _A_STORE,
    "pvc": Form("pvc://claim/path", "a claim in a cluster", _HERE, _claim),
}
"""Scheme -> what it stands for."""


def open_source(url: str, reach: Reach = Reach()) -> Source:  # noqa: B008 - it is frozen
    """Raises BadValue for a URL of another form or what its form does not take, OutsideRoots,
    Unreadable for what is not on this machine; others are asked when their files are listed.
    """
    scheme, separator, rest = url.partition("://")
    form = FORMS.get(scheme.lower() if separator else "")
    if form is None or not url or (separator and not rest):
        known = ", ".join(dict.fromkeys(one.pattern for one in FORMS.values()))
        raise BadValue(what="source", value=_without_credentials(url), why=f"it must be {known}")
    refuse_credentials("source", url)
    if separator and any("\ud800" <= letter <= "\udfff" for letter in url):
        raise BadValue(what="source", value=url, why="it is no UTF-8; write %XX for such bytes")
    for field in fields(reach):
        if field.name != "roots" and getattr(reach, field.name) and field.name not in form.takes:
            flag = f"--source-{field.name.replace('_', '-')}"
            why = f"{form.pattern} does not take it"
            raise BadValue(what=flag, value=getattr(reach, field.name), why=why)
    return form.open(url, reach)


def _place_and_name(url: str) -> tuple[str, str]:
    """`hub+https://host#owner/name@revision` in two."""
    place, separator, named = url.partition("#")
    if not separator:
        raise BadValue(what="source", value=url, why=f"it must end in #{NAMED}")
    if "?" in place:
        # What stands there may be as good as a password.
        why = "no '?' can be in the address"
        raise BadValue(what="source", value=place.partition("?")[0], why=why)
    return place, named


def _repo_and_revision(text: str) -> tuple[str, str]:
    repo, _, revision = text.partition("@")
    return repo, revision or "main"


def _without_credentials(url: str) -> str:
    return re.sub("//[^/]*@", "//…@", url)
