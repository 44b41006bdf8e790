"""Whose tokens the hub trusts: the issuers in a file, and the Kubernetes cluster it runs in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from waybill.errors import BadFile, BadValue
from waybill.hub.settings import Settings
from waybill.hub.watched import Watched

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""With two different keys for signing and checking: whoever can check can not sign."""
DEFAULT_ALGORITHMS = ("RS256", "ES256")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Issuer:
    """Who signs tokens, for whom, and where the keys are that check them."""

    name: str
    """In logs and metrics."""
    issuer: str
    """Exactly the claim `iss` of its tokens."""
    audience: str
    jwks_uri: str = ""
    """Where its keys are; '' asks <issuer>/.well-known/openid-configuration."""
    ca_bundle: str = ""
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    token_file: str = ""
    """The hub's own token, which is sent for the keys; '' sends none."""


@dataclass(frozen=True)
class Cluster:
    """Where a pod finds its cluster. The discovery document of a cluster names an address that
    the certificate does not, and nobody unknown may read the keys."""

    url: str = "https://kubernetes.default.svc"
    token_file: str = f"{_SECRETS}/token"
    ca_bundle: str = f"{_SECRETS}/ca.crt"

    def issuer(self, audience: str) -> Issuer:
        """The cluster as an issuer. Raises BadFile when the own token cannot be read."""
        keys = f"{self.url}/openid/v1/jwks"
        name, iss = "kubernetes", _issuer_of(Path(self.token_file))
        return Issuer(name, iss, audience, keys, self.ca_bundle, token_file=self.token_file)


def _issuer_of(path: Path) -> str:
    try:
        claims = jwt.decode(path.read_text().strip(), options={"verify_signature": False})
        return str(claims["iss"])
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error
    except (jwt.InvalidTokenError, KeyError, ValueError) as error:
        raise BadFile(path=path, why="it is no token of a service account") from error


class Trust:
    """The issuers that count now. Raises BadFile or BadValue when made of what cannot be used."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._sources: list[Watched[tuple[Issuer, ...]]] = []
        if audience := settings.kubernetes_audience:
            token = Path(cluster.token_file)
            self._sources.append(Watched(token, lambda _: (cluster.issuer(audience),)))
        if settings.issuers_file:
            self._sources.append(Watched(Path(settings.issuers_file), read))
        if not self._sources:
            why = "it needs an issuers file, a Kubernetes audience, or both"
            raise BadValue(what="auth", value=settings.auth, why=why)

    def find(self, iss: object) -> Issuer | None:
        """The issuer with this claim; where the file names the cluster's too, the cluster's."""
        issuers = (issuer for source in self._sources for issuer in source.get())
        return next((issuer for issuer in issuers if issuer.issuer == iss), None)


def read(path: Path) -> tuple[Issuer, ...]:
    """The issuers in a file {"issuers": [{name, issuer, audience, …}]}. Raises BadFile."""
    try:
        return tuple(_issuers(json.loads(path.read_bytes())))
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error
    except RecursionError as error:
        raise BadFile(path=path, why="it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise BadFile(path=path, why=f"line {error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise BadFile(path=path, why="it is not JSON text") from error
    except _Mistake as error:
        raise BadFile(path=path, why=str(error)) from error


class _Mistake(Exception):
    """What is wrong in the file, and where."""


def _issuers(content: Any) -> Iterator[Issuer]:
    entries = content.get("issuers") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or len(content) > 1:
        raise _Mistake('it must be {"issuers": […]} with at least one issuer')
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        issuer = _issuer(entry, f"issuers.{number}")
        for key, value in (("name", issuer.name), ("issuer", issuer.issuer)):
            if f"{key} {value}" in seen:
                raise _Mistake(f"issuers.{number}.{key}: {value!r} is there twice")
            seen.add(f"{key} {value}")
        yield issuer


_REQUIRED = ("name", "issuer", "audience")
_OPTIONAL = ("jwksUri", "caBundle")
_KNOWN = (*_REQUIRED, *_OPTIONAL, "algorithms")


def _issuer(entry: Any, where: str) -> Issuer:
    if not isinstance(entry, dict):
        raise _Mistake(f"{where}: {entry!r} is not a map")
    if unknown := sorted(set(entry) - set(_KNOWN)):
        known = ", ".join(_KNOWN)
        raise _Mistake(f"{where}: the key {unknown[0]!r} is not known; known are: {known}")
    for key in (*_REQUIRED, *_OPTIONAL):
        value = entry.get(key, "")
        if not isinstance(value, str):
            raise _Mistake(f"{where}.{key}: {value!r} is not a string")
        if key in _REQUIRED and not value:
            raise _Mistake(f"{where}: the key {key!r} is missing")
    if not _NAME.fullmatch(entry["name"]):
        raise _Mistake(f"{where}.name: {entry['name']!r} is not letters, digits and -_.")
    for key in ("issuer", "jwksUri"):
        if entry.get(key) and not is_address(entry[key]):
            raise _Mistake(f"{where}.{key}: it is not http://… or https://… without credentials")
    return Issuer(
        name=entry["name"],
        issuer=entry["issuer"],
        audience=entry["audience"],
        jwks_uri=entry.get("jwksUri", ""),
        ca_bundle=entry.get("caBundle", ""),
        algorithms=_algorithms(entry.get("algorithms"), where),
    )


def _algorithms(names: Any, where: str) -> tuple[str, ...]:
    if names is None:
        return DEFAULT_ALGORITHMS
    if not isinstance(names, list) or not names:
        raise _Mistake(f"{where}.algorithms: {names!r} is not a list of names")
    for name in names:
        if name not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise _Mistake(f"{where}.algorithms: {name!r} is not one of {known}")
    return tuple(names)


def is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        return bool(usable) and "@" not in parts.netloc
    except ValueError:
        return False
