"""Names of images: `registry/repository:tag@digest`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from waybill.errors import BadValue

PLATFORM = "linux/amd64"
"""Of images for several, the one that is taken."""
_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?P<registry>{_HOST})/(?P<repository>{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_PLACE = re.compile(rf"(?:oci(?P<plain>\+http)?://)?(?P<host>{_HOST})(?P<prefix>(?:/{_PATH})*)/?")
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?")
_RENAMED = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Reference:
    """An image as pods name it; a tag is always there, a digest wins where there is one."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises BadValue for anything but a whole name with its registry and its tag."""
        found = _NAME.fullmatch(text)
        if not found or not found["tag"]:
            why = "it is not registry/repository:tag, with @sha256:… at most"
            raise BadValue(what="image", value=text, why=why)
        return cls(**{key: value or "" for key, value in found.groupdict().items()})

    @property
    def tagged(self) -> str:
        """Without the digest."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    def __str__(self) -> str:
        return f"{self.tagged}@{self.digest}" if self.digest else self.tagged

    def at(self, place: str) -> Reference:
        """Where `global.imageRegistry: place` makes the pods look for it."""
        return replace(self, registry=place)


@dataclass(frozen=True)
class Place:
    """A registry that images go to or come from: host[:port], and a path that all begin with."""

    host: str
    prefix: str = ""
    plain: bool = False

    @classmethod
    def parse(cls, text: str) -> Place:
        """From `registry[/prefix]`; `oci+http://` says that it speaks no TLS. Raises BadValue."""
        found = _PLACE.fullmatch(text)
        if not found:
            why = "it is not host[:port][/prefix]"
            raise BadValue(what="registry", value=re.sub(r"[^/]*@", "…@", text), why=why)
        return cls(found["host"], found["prefix"].strip("/"), bool(found["plain"]))

    @property
    def base(self) -> str:
        """Its URL. Loopback is plain, as Docker has it."""
        plain = self.plain or _LOOPBACK.fullmatch(self.host)
        return f"{'http' if plain else 'https'}://{_RENAMED.get(self.host, self.host)}"

    @classmethod
    def of_image(cls, text: str) -> tuple[Place, Reference]:
        """From a whole name, before which `oci+http://` may stand. Raises BadValue."""
        scheme, mark, name = text.rpartition("://")
        reference = Reference.parse(name)
        return cls.parse(f"{scheme}{mark}{reference.registry}"), reference

    def repository(self, reference: Reference) -> str:
        return f"{self.prefix}/{reference.repository}".strip("/")

    def __str__(self) -> str:
        """What `global.imageRegistry` has to be."""
        return f"{self.host}/{self.prefix}".rstrip("/")
