"""What a hub can be told: by environment variables WAYBILL_HUB_* or by flags, which win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from waybill.errors import BadValue

PREFIX = "WAYBILL_HUB_"
DELIVERIES = ("redirect", "proxy")
AUTH = ("off", "required")
WEEK = 7 * 24 * 3600
"""Seconds that a presigned URL may live at most: S3 allows no more."""


@dataclass(frozen=True)
class Settings:
    """All settings of a hub. Raises BadValue when one of them cannot be used."""

    store: str = ""
    """URL of the store, or the name of an environment."""
    endpoint: str | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    public_endpoint: str | None = None
    """Where clients reach the S3 server, if not at `endpoint`: presigned URLs name it."""
    internal_host: str | None = None
    """Who asks the hub by this name is beside it, and is sent to `endpoint`."""
    delivery: str = "redirect"
    """`redirect` sends clients to presigned URLs where the store has them; `proxy` streams."""
    presign_seconds: int = 12 * 3600
    """How long a presigned URL lives: longer than the slowest download of one file takes."""
    auth: str = "off"
    """`required` answers only who has a token of a trusted issuer."""
    issuers_file: str | None = None
    """JSON file of the trusted issuers."""
    kubernetes_audience: str | None = None
    """Tokens of the cluster's service accounts for this audience are trusted; None: none are."""
    trust: str | None = None
    """Trust policy: whose signatures a revision needs to be served; None: nobody's."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free port."""

    def __post_init__(self) -> None:
        if self.delivery not in DELIVERIES:
            raise BadValue(what="delivery", value=self.delivery, why="use redirect or proxy")
        if self.auth not in AUTH:
            raise BadValue(what="auth", value=self.auth, why="use off or required")
        _within("presign seconds", self.presign_seconds, 60, WEEK)
        _within("port", self.port, 0, 65535)
        _check_address("endpoint", self.endpoint)
        _check_address("public endpoint", self.public_endpoint)

    def is_internal(self, host: str) -> bool:
        """Whether a request's host is the internal one, however much of the name is said."""
        if not (host and self.internal_host):
            return False
        name = self.internal_host
        return host == name or name.startswith(f"{host}.") or host.startswith(f"{name}.")

    @classmethod
    def read(cls, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
        """Settings from the environment and, stronger, from flags that are not None.

        An empty variable counts as not set, because templates render such.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            value = (flags or {}).get(field.name)
            if value is None:
                value = environ.get(PREFIX + field.name.upper()) or None
            if value is not None:
                given[field.name] = _number(field.name, value) if field.type == "int" else value
        return cls(**given)


def _number(name: str, value: str | int) -> int:
    try:
        return int(value)
    except ValueError:
        what = name.replace("_", " ")
        raise BadValue(what=what, value=value, why="it must be a whole number") from None


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadValue(what=what, value=value, why=f"it must be from {least} to {most}")


def _check_address(what: str, url: str | None) -> None:
    if url is None:
        return
    if "@" in url:
        why = "it must not hold credentials; name them by a profile"
        raise BadValue(what=what, value=f"***@{url.rpartition('@')[2]}", why=why)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadValue(what=what, value=url, why="it must be http://host or https://host")
