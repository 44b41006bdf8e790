"""From a URL to a source: `hf://owner/name@revision`, `file:///path` or a plain path."""

from __future__ import annotations

from urllib.parse import unquote

from waybill.errors import BadValue
from waybill.source.base import Source
from waybill.source.directory import DirectorySource
from waybill.store.connect import local, split


def open_source(url: str, *, endpoint: str | None = None) -> Source:
    """Raises BadValue for a URL of another form, SourceUnreachable when nothing is there.

    `endpoint` is the Hugging Face endpoint (default: HF_ENDPOINT, else the public hub).
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "hf" and rest:
        # Half a second to import: only for those who need it.
        from waybill.source.huggingface import HuggingFaceSource

        repo, _, revision = rest.partition("@")
        return HuggingFaceSource(repo, revision or "main", endpoint=endpoint)
    if scheme == "file" and rest:
        return DirectorySource(local("source", unquote(split("source", url).path)))
    if url and not separator:
        return DirectorySource(local("source", url))
    raise BadValue(what="source", value=url, why="it must be hf://owner/name@revision or a path")
