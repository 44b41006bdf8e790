"""Credentials of registries, from where `docker login` and others leave them.

The file is config.json in DOCKER_CONFIG, else in ~/.docker; a Secret of the type
kubernetes.io/dockerconfigjson has the same form. Credential helpers are asked as Docker does.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waybill.errors import BadFile

CHECK = "`docker login`, or config.json in DOCKER_CONFIG, for this registry"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_SECONDS = 60
_IDENTITY = "<token>"
"""The name that a helper gives where its secret is an identity token."""
_ALIASES = {
    "registry-1.docker.io": ("https://index.docker.io/v1/", "index.docker.io", "docker.io"),
}


@dataclass(frozen=True)
class Login:
    """A name and a password, or an identity token that is exchanged for others."""

    name: str = ""
    password: str = ""
    identity_token: str = ""


def login_for(registry: str) -> Login | None:
    """None where nothing is known of this host[:port]. Raises BadFile."""
    path = Path(os.environ.get("DOCKER_CONFIG") or f"{os.environ.get('HOME', '')}/.docker")
    config = _load(path / "config.json")
    names = (registry, *_ALIASES.get(registry, ()))
    try:
        for name in names:
            if helper := config.get("credHelpers", {}).get(name):
                return _ask(helper, name, path)
        for server, entry in config.get("auths", {}).items():
            if (_host(server) in names or server in names) and (login := _login(entry)):
                return login
        if helper := config.get("credsStore"):
            return next((found for name in names if (found := _ask(helper, name, path))), None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(path=path / "config.json", why="it is no Docker configuration") from error
    return None


def _load(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(path=path, why="it is no Docker configuration") from error
    return value if isinstance(value, dict) else {}


def _host(server: str) -> str:
    """`https://host:port/v1/` and `host:port` are the same registry."""
    return server.partition("://")[2].partition("/")[0] or server.partition("/")[0]


def _login(entry: Mapping[str, str]) -> Login | None:
    if token := entry.get("identitytoken"):
        return Login(identity_token=token)
    name, password = entry.get("username", ""), entry.get("password", "")
    if told := entry.get("auth"):
        name, _, password = base64.b64decode(told, validate=True).decode().partition(":")
    return Login(name, password.rstrip("\0")) if name else None


def _ask(helper: str, server: str, path: Path) -> Login | None:
    """What docker-credential-<helper> knows. Raises BadFile when it cannot be asked."""
    if not _HELPER.fullmatch(helper):
        raise BadFile(path=path / "config.json", why=f"{helper!r} is no name of a helper")
    try:
        ran = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"docker-credential-{helper}, which it names, does not answer"
        raise BadFile(path=path / "config.json", why=why) from error
    if ran.returncode:
        # It says so when it knows of nothing, and a registry may need nothing.
        return None
    told = json.loads(ran.stdout)
    if told["Username"] == _IDENTITY:
        return Login(identity_token=told["Secret"])
    return Login(told["Username"], told["Secret"])
