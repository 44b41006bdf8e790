"""A Keycloak realm as code: what the file names is made, or brought to what the file says.

The file is Keycloak's own representation of a realm. Everything is found by its name, laid over
what is there and written only when that changes something, so a run may be cut off anywhere and
started again. Nothing is deleted: what people make in the realm, or leave behind, stays.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waybill.deliver.keycloak import Keycloak
from waybill.errors import BadFile, BadValue, KeycloakRefused, KeycloakUnreachable

_PARTS = ("roles", "groups", "clientScopes", "clients")
_PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PAUSE = 2
"""Seconds between two tries while Keycloak is not there."""

Named = dict[str, Any]


@dataclass
class Changes:
    """What a run did, as `client waybill-cli`."""

    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: int = 0


def load(path: Path, environment: Mapping[str, str]) -> Named:
    """The file with each ${NAME} taken from the environment. Raises BadFile and BadValue."""
    try:
        realm = json.loads(path.read_bytes())
    except OSError as error:
        raise BadFile(path=path, why=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise BadFile(path=path, why="it is not JSON text") from error
    if not isinstance(realm, dict) or not realm.get("realm"):
        raise BadFile(path=path, why="it is no realm: a map with the key realm is needed")
    filled: Named = fill(realm, environment)
    return filled


def fill(value: Any, environment: Mapping[str, str]) -> Any:
    """Raises BadValue for a variable that is missing or empty."""
    match value:
        case dict():
            return {key: fill(one, environment) for key, one in value.items()}
        case list():
            return [fill(one, environment) for one in value]
        case str() if found := _PLACE.fullmatch(value):
            if text := environment.get(found[1]):
                return text
            why = "the realm's file takes a value from it, and it is not set"
            raise BadValue(what="environment variable", value=found[1], why=why)
    return value


def laid_over(current: Any, wanted: Any) -> Any:
    """`current` with what `wanted` says; lists, whose order Keycloak does not keep, as a whole."""
    if isinstance(current, dict) and isinstance(wanted, dict):
        return current | {key: laid_over(current.get(key), one) for key, one in wanted.items()}
    if isinstance(current, list) and isinstance(wanted, list):
        return current if sorted(map(str, current)) == sorted(map(str, wanted)) else wanted
    return wanted


def provision(
    keycloak: Keycloak, realm: Named, seconds: float, note: Callable[[str], None]
) -> Changes:
    """Reconciles; a Keycloak that does not answer, or not now, is asked again for `seconds`.

    Raises KeycloakUnreachable and KeycloakRefused.
    """
    end, last, done = time.monotonic() + seconds, "", Changes()
    while True:
        try:
            Reconciler(keycloak, realm, done).run()
            return done
        except KeycloakUnreachable as error:
            if time.monotonic() >= end:
                raise
            if str(error) != last:
                last = str(error)
                note(f"{last}; trying again")
            done.kept = 0
            time.sleep(_PAUSE)


class Reconciler:
    """One pass over a realm's file."""

    def __init__(self, keycloak: Keycloak, realm: Named, changes: Changes) -> None:
        self._keycloak, self._realm, self._changes = keycloak, realm, changes
        self._name: str = realm["realm"]

    def run(self) -> None:
        self._settings()
        for role in self._realm.get("roles", {}).get("realm", []):
            self._ensure("role", ("roles",), role, current=self._role(role["name"]))
        for group in self._realm.get("groups", []):
            self._group(group)
        for scope in self._realm.get("clientScopes", []):
            self._scope(scope)
        for client in self._realm.get("clients", []):
            self._client(client)

    def _settings(self) -> None:
        wanted = {key: value for key, value in self._realm.items() if key not in _PARTS}
        current = self._keycloak.get(self._name)
        if current is None:
            self._keycloak.post(body=wanted)
            self._changes.made.append(f"realm {self._name}")
        elif (merged := laid_over(current, wanted)) != current:
            self._keycloak.put(self._name, body=merged)
            self._changes.changed.append(f"realm {self._name}")
        else:
            self._changes.kept += 1

    def _role(self, name: str) -> Named | None:
        role: Named | None = self._keycloak.get(self._name, "roles", name)
        return role and role | {"id": name}

    def _group(self, group: Named) -> None:
        roles = group.get("realmRoles", [])
        wanted = {key: value for key, value in group.items() if key != "realmRoles"}
        current = self._find("groups", "name", group["name"], search=group["name"], exact="true")
        at = ("groups", self._ensure("group", ("groups",), wanted, current=current))
        mapped = (*at, "role-mappings", "realm")
        has = {role["name"] for role in self._keycloak.get(self._name, *mapped)}
        if missing := [role for role in roles if role not in has]:
            found = [self._keycloak.get(self._name, "roles", role) for role in missing]
            self._keycloak.post(self._name, *mapped, body=found)

    def _scope(self, scope: Named) -> None:
        wanted = {key: value for key, value in scope.items() if key != "protocolMappers"}
        current = self._find("client-scopes", "name", scope["name"])
        ident = self._ensure("client scope", ("client-scopes",), wanted, current=current)
        at = ("client-scopes", ident, "protocol-mappers", "models")
        for mapper in scope.get("protocolMappers", []):
            found = self._find(at, "name", mapper["name"])
            self._ensure(f"mapper {scope['name']}", at, mapper, current=found)

    def _client(self, client: Named) -> None:
        scopes = client.get("defaultClientScopes", [])
        wanted = {key: value for key, value in client.items() if key != "defaultClientScopes"}
        name = client["clientId"]
        current = self._find("clients", "clientId", name, clientId=name)
        if current is None and scopes:
            # Only a new client takes them, and without them it gets the realm's.
            wanted["defaultClientScopes"] = scopes
        ident = self._ensure("client", ("clients",), wanted, current=current, key="clientId")
        for scope in scopes:
            if current is not None and scope not in current.get("defaultClientScopes", []):
                self._add_scope(ident, name, scope)

    def _add_scope(self, ident: str, client: str, scope: str) -> None:
        found = self._find("client-scopes", "name", scope)
        if found is None:
            raise KeycloakRefused(
                url=self._keycloak.url, what=f"{client} the scope {scope}", why="there is none"
            )
        self._keycloak.put(self._name, "clients", ident, "default-client-scopes", found["id"])
        self._changes.changed.append(f"client {client}")

    def _find(self, at: str | tuple[str, ...], key: str, name: str, **query: str) -> Named | None:
        path = (at,) if isinstance(at, str) else at
        known = self._keycloak.get(self._name, *path, **query)
        return next((one for one in known or [] if one[key] == name), None)

    def _ensure(
        self,
        kind: str,
        at: tuple[str, ...],
        wanted: Named,
        *,
        current: Named | None,
        key: str = "name",
    ) -> str:
        """The id of what `wanted` names, which then is as wanted."""
        what = f"{kind} {wanted[key]}"
        if current is None:
            ident = self._keycloak.post(self._name, *at, body=wanted)
            self._changes.made.append(what)
            return ident
        ident = str(current["id"])
        if (merged := laid_over(current, wanted)) != current:
            self._keycloak.put(self._name, *at, ident, body=merged)
            self._changes.changed.append(what)
        else:
            self._changes.kept += 1
        return ident
