"""values/environments.yaml: where each environment's store and cluster are, in promotion order.

And what holds for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from waybill import files
from waybill.errors import BadFile, UnknownEnvironment
from waybill.sign.trust import Policy
from waybill.store.connect import Access, connect
from waybill.store.sizes import SIZE, parse_size
from waybill.store.store import Store

FILE = "values/environments.yaml"


def _text(title: str, description: str, pattern: str = "^.+$") -> dict[str, str]:
    return {"type": "string", "pattern": pattern, "title": title, "description": description}


_ENVIRONMENT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["store"],
    "properties": {
        "store": _text(
            "s3://bucket/prefix, file:///path or a path, without credentials",
            "The environment's store. A path is relative to the project directory.",
            "^(s3://[^@/]+(/[^@]*)?|file:[^@]+|[^:@]+)$",
        ),
        "endpoint": _text(
            "an http or https URL without credentials",
            "URL of the S3 server; left out for AWS.",
            "^https?://[^/@]+(/[^@]*)?$",
        ),
        "profile": _text(
            "the name of a credentials profile",
            "Profile in the AWS shared files that holds the credentials; never a secret itself.",
            "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        ),
        "caBundle": _text(
            "a path",
            "PEM file of the CA that signed the server's key, relative to the project directory.",
        ),
        "capacity": _text(
            "a size such as 2TB or 500GiB",
            "What the store may hold. What would not fit is refused before its first byte; "
            "S3 itself does not tell how much room there is.",
            f"^{SIZE}$",
        ),
        "trust": _text(
            "a path",
            "Trust policy, relative to the project directory: whose signatures are asked for when "
            "a model is loaded into the store, promoted to it, or served from it.",
        ),
        "kubeContext": _text("the name of a context", "Context of kubectl and helm."),
        "namespace": _text(
            "a Kubernetes namespace",
            "Namespace that the chart is installed in.",
            "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        ),
        "release": _text(
            "a Helm release name of at most 24 characters",
            "Name of the Helm release; waybill where it is left out.",
            files.NAME,
        ),
        "values": _text(
            "a path",
            "The people's values file, relative to the project directory; "
            "values/<environment>.yaml where it is left out.",
        ),
        "pins": _text(
            "a path",
            "The pins file, relative to the project directory, written by waybill alone; "
            "values/pins/<environment>.yaml where it is left out.",
        ),
    },
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill environments",
    "description": "Where models go, in the order in which they are promoted.",
    "type": "object",
    "additionalProperties": False,
    "required": ["environments"],
    "properties": {
        "environments": {
            "description": "By name; the order is the order of promotion.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": {
                "pattern": files.NAME,
                "title": "a name of at most 24 lower-case letters, digits and dashes",
            },
            "additionalProperties": _ENVIRONMENT,
        },
        "images": {
            "description": "Images that are made of models, whatever they are for.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "modelLimit": _text(
                    "a size such as 2TB or 500GiB",
                    "Largest model that `waybill images from-model` puts into an image; 1GB where "
                    "it is left out. --limit goes before it.",
                    f"^{SIZE}$",
                )
            },
        },
    },
}
"""The schema of values/environments.schema.json (JSON Schema 2020-12)."""


@dataclass(frozen=True)
class Environment:
    """One environment, its paths absolute."""

    name: str
    store: str
    pins_path: Path
    values_path: Path
    endpoint: str | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    kube_context: str | None = None
    namespace: str | None = None
    release: str = "waybill"
    trust_path: Path | None = None
    capacity: int | None = None

    def connect(
        self,
        *,
        single_writer: bool = False,
        public_endpoint: str | None = None,
        capacity: int | None = None,
    ) -> Store:
        """The environment's store, not touched yet. Raises BadFile for its caBundle."""
        access = Access(self.endpoint, self.profile, self.ca_bundle, public_endpoint)
        capacity = self.capacity if capacity is None else capacity
        return connect(self.store, access, single_writer=single_writer, capacity=capacity)

    def policy(self) -> Policy | None:
        """Whom it trusts; None where it asks for no signatures. Raises BadFile."""
        return Policy.load(self.trust_path) if self.trust_path else None


class Environments(Mapping[str, Environment]):
    """All environments by name, in promotion order.

    `model_limit`: bytes of a model that an image may hold, None where the file leaves it out.
    """

    def __init__(
        self, path: Path, known: Mapping[str, Environment], model_limit: int | None = None
    ) -> None:
        self.path = path
        self.model_limit = model_limit
        self._known = dict(known)

    @classmethod
    def load(cls, project: Path) -> Environments:
        """Raises BadFile when <project>/values/environments.yaml is missing or wrong."""
        path = project / FILE
        if not files.exists(path):
            raise BadFile(path=path, why="there is no such file; --project DIR says where it lies")
        value = files.load(path, SCHEMA)
        if value is None:
            raise BadFile(path=path, why="it is empty")
        root = project.absolute()
        known = {}
        for name, given in value["environments"].items():
            try:
                known[name] = _environment(name, given, root)
            except ValueError as error:
                raise BadFile(path=path, why=f"environments.{name}: {error}") from error
        limit = value.get("images", {}).get("modelLimit")
        return cls(path, known, parse_size(limit) if limit else None)

    def __getitem__(self, name: str) -> Environment:
        """Raises UnknownEnvironment."""
        if name not in self._known:
            raise UnknownEnvironment(name=name, path=self.path, known=", ".join(self._known))
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def next(self, name: str) -> str | None:
        """The environment that `name` is promoted to. Raises UnknownEnvironment."""
        order = list(self)
        at = order.index(self[name].name) + 1
        return order[at] if at < len(order) else None


def _environment(name: str, given: Mapping[str, str], project: Path) -> Environment:
    """Raises ValueError, in words for people, for a URL that no pattern tells from a right one."""
    _ = _split(given.get("endpoint", "")).port
    return Environment(
        name=name,
        store=_store_url(given["store"], project),
        pins_path=project / given.get("pins", f"values/pins/{name}.yaml"),
        values_path=project / given.get("values", f"values/{name}.yaml"),
        endpoint=given.get("endpoint"),
        profile=given.get("profile"),
        ca_bundle=str(project / given["caBundle"]) if "caBundle" in given else None,
        kube_context=given.get("kubeContext"),
        namespace=given.get("namespace"),
        release=given.get("release", "waybill"),
        trust_path=project / given["trust"] if "trust" in given else None,
        capacity=parse_size(given["capacity"]) if "capacity" in given else None,
    )


def _store_url(text: str, project: Path) -> str:
    """`text` with a relative path made absolute; other URLs as they are."""
    parts = _split(text)
    if parts.scheme == "file" and not parts.netloc:
        return (project / unquote(parts.path)).as_uri()
    return text if parts.scheme else (project / text).as_uri()


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if "\0" in unquote(parts.path):
        raise ValueError(f"{url!r} holds a NUL")
    return parts
