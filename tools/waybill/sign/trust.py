"""Whom an environment trusts: which keys and authorities, for which repos.

    keys:
      release: {publicKey: PEM}
      company: {certificateAuthority: PEM, subjects: ["CN=model release,O=Acme"]}
    repos:
      "acme/*": {signedBy: [release, company], unsigned: refuse}
    default: {unsigned: allow}

The longest pattern that matches a repo decides; of equally long ones each has to be satisfied.
What has to be signed is the provenance of the revision's manifest: a statement of another kind,
as an evaluation that went badly, says nothing about whether the model may be here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import tee
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from waybill import files
from waybill.digest import Digest
from waybill.errors import BadFile, TooMuchSaid, Unsigned, UntrustedSignature
from waybill.manifest import PROVENANCE
from waybill.sign import certificates, keys
from waybill.sign.dsse import Envelope, Signature
from waybill.sign.keys import Public
from waybill.sign.statements import Statement

SHOWN = 16
"""Hex digits of a key id that people are shown."""
ENVELOPES = 10_000
"""As many statements of one revision are looked at: whoever may write to a store must not keep its
readers busy for ever. Where there are more, nobody can tell what the others say."""


def now() -> datetime:
    """The time at which certificates have to be good, where something comes in."""
    return datetime.now(UTC)


class Anchor(Protocol):
    """Whose signatures count."""

    @property
    def name(self) -> str: ...

    @property
    def identities(self) -> frozenset[str]:
        """What tells it from others, whatever it is called: of its key, or of its subjects."""

    def objection(self, data: bytes, signature: Signature, at: datetime | None) -> str | None:
        """Why it is no good signature of this one, '' for that of somebody else; None: it is."""


@dataclass(frozen=True)
class Key:
    """One public key."""

    name: str
    public: Public

    def __str__(self) -> str:
        return f"{self.name} (key {keys.key_id(self.public)[:SHOWN]})"

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({keys.key_id(self.public)})

    def objection(self, data: bytes, signature: Signature, _: datetime | None) -> str | None:
        if keys.is_right(self.public, signature.value, data):
            return None
        ours = signature.key_id == keys.key_id(self.public)
        return f"{self.name}: the signature is not of these bytes" if ours else ""


@dataclass(frozen=True)
class Authority:
    """A CA that vouches for the keys of these subjects (RFC 4514)."""

    name: str
    authorities: tuple[x509.Certificate, ...]
    subjects: frozenset[str]
    revoked: tuple[x509.CertificateRevocationList, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({' or '.join(sorted(self.subjects))})"

    @property
    def identities(self) -> frozenset[str]:
        return self.subjects

    def objection(self, data: bytes, signature: Signature, at: datetime | None) -> str | None:
        if not signature.chain:
            return ""
        subject = certificates.subject(signature.chain[0])
        if subject not in self.subjects:
            return ""
        try:
            chain = signature.chain
            key = keys.usable(certificates.signing_key(chain, self.authorities, at, self.revoked))
        except ValueError as error:
            return f"{subject}: {error}"
        right = keys.is_right(key, signature.value, data)
        return None if right else f"{subject}: the signature is not of these bytes"


@dataclass(frozen=True)
class Rule:
    """Whose signature one pattern of repos asks for, and whether it can be without any."""

    signed_by: tuple[Anchor, ...]
    allows_unsigned: bool

    def objections(
        self, signed: Iterable[tuple[bytes, Signature]], at: datetime | None
    ) -> list[str] | None:
        """What is wrong with each of the signatures; None when one of them is good."""
        found = []
        for data, signature in signed:
            said = [anchor.objection(data, signature, at) for anchor in self.signed_by]
            if None in said:
                return None
            found.append(next(filter(None, said), None) or f"{who(signature)} is not trusted")
        return found


@dataclass(frozen=True, eq=False)
class Policy:
    """A trust policy; `where` is what people call it. One that was read anew is another one."""

    where: str
    repos: Mapping[str, Rule]
    default: Rule
    keys: Mapping[str, Anchor]
    """All that it has a name for, whether a rule asks for them or not."""

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Raises BadFile."""
        value = files.load(path, SCHEMA, blocks=True)
        try:
            return cls._of(str(path), value or {})
        except ValueError as error:
            raise BadFile(path=path, why=str(error)) from error

    @classmethod
    def _of(cls, where: str, value: Mapping[str, Any]) -> Policy:
        if "default" not in value:
            raise ValueError("the key 'default' is missing")
        known = {name: _anchor(name, one) for name, one in value.get("keys", {}).items()}
        repos: dict[str, Rule] = {}
        for pattern, one in value.get("repos", {}).items():
            if pattern.lower() in repos:
                raise ValueError(f"repos.{pattern}: it stands there twice, as case does not count")
            repos[pattern.lower()] = _rule(f"repos.{pattern}", one, known)
        return cls(where, repos, _rule("default", value["default"], known), known)

    def rules(self, repo: str) -> list[Rule]:
        """Those of the longest patterns that match; ids of repos compare without case."""
        matching = [pattern for pattern in self.repos if fnmatchcase(repo.lower(), pattern)]
        longest = max(map(len, matching), default=0)
        return [self.repos[one] for one in matching if len(one) == longest] or [self.default]

    def asks(self, repo: str) -> bool:
        """Whether signatures of this repo are looked at."""
        return any(rule.signed_by for rule in self.rules(repo))

    def signers(self, envelope: Envelope, at: datetime | None) -> tuple[str, ...]:
        """Names of the keys that have signed it, whatever it says; `at` is as for `check`."""
        return tuple(
            name
            for name, anchor in self.keys.items()
            if any(
                anchor.objection(envelope.signed, each, at) is None for each in envelope.signatures
            )
        )

    def check(
        self, repo: str, digest: Digest, envelopes: Iterable[bytes], at: datetime | None
    ) -> None:
        """Raises Unsigned or UntrustedSignature unless who is asked for has signed the manifest;
        TooMuchSaid where too many others stand before that.

        `at`: when certificates have to be good; None asks whether they were when they began.
        """
        if self.asks(repo):
            what = f"{repo} at {digest}"
            found = _about(what, digest, envelopes)
            signed = ((one.signed, each) for one in found for each in one.signatures)
            self.judge([repo], what, signed, at)

    def judge(
        self,
        repos: Iterable[str],
        what: str,
        signed: Iterable[tuple[bytes, Signature]],
        at: datetime | None,
    ) -> None:
        """As `check`, of any bytes and their signatures that have to do with these repos.

        As many are looked at as it takes to find a good one.
        """
        for rule in (rule for repo in repos for rule in self.rules(repo) if rule.signed_by):
            trusted = " or ".join(map(str, rule.signed_by))
            signed, these = tee(signed)
            wrong = rule.objections(these, at)
            if wrong == [] and not rule.allows_unsigned:
                raise Unsigned(what=what, policy=self.where, trusted=trusted)
            if wrong:
                seen = "; ".join(dict.fromkeys(wrong))
                raise UntrustedSignature(what=what, seen=seen, policy=self.where, trusted=trusted)


def who(signature: Signature) -> str:
    """What a signature says of its maker, which may be a lie."""
    if signature.chain:
        return certificates.subject(signature.chain[0])
    return f"key {signature.key_id[:SHOWN]}" if signature.key_id else "a key that is not named"


def _about(what: str, digest: Digest, envelopes: Iterable[bytes]) -> Iterator[Envelope]:
    """The envelopes that hold the provenance of this manifest; what cannot be read is none."""
    for number, data in enumerate(envelopes):
        if number == ENVELOPES:
            raise TooMuchSaid(what=what, limit=ENVELOPES)
        try:
            envelope = Envelope.parse(data, "a signature")
            statement = Statement.parse(envelope.payload, "a signature")
        except BadFile:
            continue
        if statement.predicate_type == PROVENANCE and statement.subjects == {digest}:
            yield envelope


def _anchor(name: str, value: Mapping[str, Any]) -> Key | Authority:
    try:
        match value:
            case {"publicKey": text, **more} if not more:
                return Key(name, keys.parse_public(text))
            case {"certificateAuthority": text, "subjects": names, **more} if (
                "publicKey" not in more
            ):
                lists = certificates.parse_lists(more["revocationList"]) if more else ()
                certificates.require_authorities(found := certificates.parse(text))
                return Authority(name, found, frozenset(names), lists)
    except ValueError as error:
        raise ValueError(f"keys.{name}: {error}") from error
    raise ValueError(f"keys.{name}: it needs publicKey, or certificateAuthority and subjects")


def _rule(at: str, value: Mapping[str, Any], known: Mapping[str, Key | Authority]) -> Rule:
    names, allows = value.get("signedBy", []), value["unsigned"] == "allow"
    for name in names:
        if name not in known:
            raise ValueError(f"{at}.signedBy: keys has no {name!r}; it has: {', '.join(known)}")
    if not (names or allows):
        raise ValueError(f"{at}: what refuses unsigned models has to say who signs: signedBy")
    return Rule(tuple(known[name] for name in names), allows)


def _of(title: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "title": title, **more}


_RULE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["unsigned"],
    "properties": {
        "signedBy": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names of keys. One of them has to have signed whatever is signed.",
        },
        "unsigned": {
            "enum": ["refuse", "allow"],
            "description": "What becomes of a revision without any signature.",
        },
    },
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill trust policy",
    "description": "Whose signatures an environment asks for, by repo.",
    "type": "object",
    "additionalProperties": False,
    "required": ["default"],
    "properties": {
        "keys": {
            "description": "Whoever may sign, by a name of yours.",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "publicKey": _of("a public key", description="Ed25519 or ECDSA P-256, in PEM."),
                    "certificateAuthority": _of(
                        "certificates",
                        description="The CA's certificate in PEM; several, one after the other.",
                    ),
                    "subjects": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string"},
                        "description": "Whom of those the CA vouches for, each name in full as "
                        "`openssl x509 -noout -subject -nameopt RFC2253` prints it.",
                    },
                    "revocationList": _of(
                        "revocation lists",
                        description="What the CA has revoked, in PEM; several, one after the "
                        "other, where others stand between it and the keys.",
                    ),
                },
            },
        },
        "repos": {
            "description": "Rules by owner/name, with * for any letters. The longest that matches "
            "decides.",
            "type": "object",
            "propertyNames": {
                "pattern": "^[A-Za-z0-9_.*-]+/[A-Za-z0-9_.*-]+$",
                "title": "owner/name, where * stands for any letters",
            },
            "additionalProperties": _RULE,
        },
        "default": {**_RULE, "description": "The rule for all other repos."},
    },
}
"""The schema of a trust policy (JSON Schema 2020-12)."""
