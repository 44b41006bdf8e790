"""The layout of a store, drawn once. No other module builds a key.

store.json                                             format, id, conditionalWrites
blobs/sha256/<hex>                                     contents, manifests, records; immutable
repos/<type>/<owner>/<name>/revisions/<commit>         descriptor of the manifest; immutable
repos/<type>/<owner>/<name>/aliases/<40 hex>           an upstream commit -> our commit; immutable
repos/<type>/<owner>/<name>/referrers/<commit>/<hex>   descriptor of a statement; immutable
refs/<type>/<owner>/<name>/{heads,tags,pins}/<n>       digest of a record; the only thing that moves
uploads/<id>                                           unfinished writes of a directory store
leases/prune                                           who deletes now, and nobody else
leases/candidates                                      what the next prune may delete: key -> since

Owner and name are lower-case in keys, because ids compare case-insensitively; the spelling
that people see is kept in the records. Ref names are percent-encoded into one segment.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, unquote

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue

STORE = "store.json"
UPLOADS = "uploads/"
BLOBS = "blobs/sha256/"
REFS = "refs/"
REPOS = "repos/"
KEPT = (BLOBS, REPOS, REFS)
"""What a store is for; the rest is small, or goes away."""
LEASE = "leases/prune"
CANDIDATES = "leases/candidates"
REF_KINDS = ("heads", "tags", "pins")

_NAME = re.compile(r"[A-Za-z0-9](?!.*(?:--|\.\.))[\w.-]{0,95}(?<![.-])", re.ASCII)
_SEGMENT = 240
_BLOB = re.compile(re.escape(BLOBS) + r"[0-9a-f]{64}")
_REF = re.compile(r"[A-Za-z0-9][\w./+@-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class RepoId:
    """`owner/name` of a model repo, spelled as people see it."""

    owner: str
    name: str

    def __post_init__(self) -> None:
        usable = _NAME.fullmatch(self.owner) and _NAME.fullmatch(self.name)
        if not usable or self.name.lower().endswith(".git"):
            raise BadValue(
                what="repo",
                value=str(self).removesuffix("/"),
                why="it must be owner/name, each of letters, digits, '-', '_' and '.'",
            )

    @classmethod
    def parse(cls, text: str) -> RepoId:
        """Raises BadValue unless `text` is `owner/name` by the Hugging Face rules."""
        owner, _, name = text.partition("/")
        return cls(owner, name)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def key(self) -> str:
        return f"models/{self}".lower()


def is_ref_name(name: str) -> bool:
    """A name is one segment of a key, so it must fit into a file name when it is encoded."""
    return bool(_REF.fullmatch(name)) and ".." not in name and len(_encoded(name)) <= _SEGMENT


@dataclass(frozen=True)
class Ref:
    """A ref's kind (`heads`, `tags` or `pins`) and name."""

    kind: str
    name: str

    def __post_init__(self) -> None:
        if self.kind not in REF_KINDS or not is_ref_name(self.name):
            raise BadValue(
                what="ref",
                value=f"{self.kind}/{self.name}",
                why="a name is letters, digits and . _ - / + @, and starts with none of the signs",
            )

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def pin(cls, environment: str, model: str, slot: str = "stable") -> Ref:
        return cls("pins", f"{environment}.{model}.{slot}")

    def pinned_in(self, environment: str) -> str | None:
        """The model whose stable revision is pinned there by this ref; None of any other ref."""
        place, model, slot = [*self.name.split("."), "", "", ""][:3]
        return model if (self.kind, place, slot) == ("pins", environment, "stable") else None


def named_by(revision: str) -> list[Ref]:
    """The refs that a branch or tag name may mean, the likeliest first."""
    for kind in ("heads", "tags"):
        if revision.startswith(f"refs/{kind}/"):
            name = revision.removeprefix(f"refs/{kind}/")
            return [Ref(kind, name)] if is_ref_name(name) else []
    return [Ref(kind, revision) for kind in ("heads", "tags")] if is_ref_name(revision) else []


def _encoded(name: str) -> str:
    return quote(name, safe="")


def blob(digest: Digest) -> str:
    return BLOBS + digests.hex_of(digests.parse(digest))


def is_blob(key: str) -> bool:
    return bool(_BLOB.fullmatch(key))


def repo(repo: RepoId) -> str:
    """All but the refs."""
    return f"{REPOS}{repo.key}/"


def revisions(repo: RepoId) -> str:
    return f"repos/{repo.key}/revisions/"


def revision(repo: RepoId, commit: str) -> str:
    return revisions(repo) + digests.parse_commit(commit)


def parse_revision(key: str) -> tuple[RepoId, str] | None:
    """The repo (in lower case) and commit of a revision's key; None for any other key."""
    match key.split("/"):
        case ["repos", "models", owner, name, "revisions", commit] if digests.is_commit(commit):
            with suppress(BadValue):
                return RepoId(owner, name), commit
    return None


def aliases(repo: RepoId) -> str:
    return f"repos/{repo.key}/aliases/"


def alias(repo: RepoId, upstream: str) -> str:
    return aliases(repo) + digests.parse_commit(upstream)


def referrers(repo: RepoId, commit: str) -> str:
    return f"repos/{repo.key}/referrers/{digests.parse_commit(commit)}/"


def referrer(repo: RepoId, commit: str, digest: Digest) -> str:
    return referrers(repo, commit) + digests.hex_of(digests.parse(digest))


def parse_said(key: str) -> tuple[RepoId, str, str] | None:
    """Of an alias or a referrer: the repo (in lower case), the commit, the statement's hex digits.

    The commit of an alias is the upstream one, and it has no statement. None for any other key.
    """
    match key.split("/"):
        case ["repos", "models", owner, name, "aliases", commit]:
            statement = ""
        case ["repos", "models", owner, name, "referrers", commit, statement]:
            if not digests.is_digest(digests.from_hex(statement)):
                return None
        case _:
            return None
    with suppress(BadValue):
        return RepoId(owner, name), digests.parse_commit(commit), statement
    return None


def refs(repo: RepoId) -> str:
    return f"{REFS}{repo.key}/"


def ref(repo: RepoId, ref: Ref) -> str:
    return f"{refs(repo)}{ref.kind}/{_encoded(ref.name)}"


def parse_ref(key: str) -> tuple[RepoId, Ref] | None:
    """The repo (in lower case) and ref of a ref's key; None for any other key."""
    match key.split("/"):
        case ["refs", "models", owner, name, kind, encoded]:
            with suppress(BadValue):
                return RepoId(owner, name), Ref(kind, unquote(encoded))
    return None
