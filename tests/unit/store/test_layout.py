"""Every key is built here, and none leaves the place of its store."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue
from waybill.store import layout
from waybill.store.layout import Ref, RepoId

COMMIT = "0" * 40
REPO = RepoId("Owner", "Name")

wild = st.one_of(
    st.text(max_size=50),
    st.lists(
        st.sampled_from(["..", ".", "/", "\\", "a", "-", "--", "%2e", "%2F", "\0", "\n", "~", ""])
    ).map("".join),
    st.from_regex(r"[A-Za-z0-9][\w./+@-]{0,199}"),
)


def assert_inside(key: str, prefix: str) -> None:
    """The key stays where it belongs, as a path on disk and as a string in S3."""
    root = Path("/srv/store")
    assert key.startswith(prefix)
    assert (root / key).resolve() == root / key
    assert (root / key).relative_to(root / prefix).as_posix() == key.removeprefix(prefix)
    assert all(0 < len(part.encode()) <= 255 for part in key.split("/"))


@given(wild, wild)
def test_no_repo_id_leaves_the_store(owner: str, name: str) -> None:
    makers: list[Callable[[], RepoId]] = [
        lambda: RepoId(owner, name),
        lambda: RepoId.parse(f"{owner}/{name}"),
    ]
    for make in makers:
        try:
            repo = make()
        except BadValue:
            continue
        assert_inside(layout.revision(repo, COMMIT), "repos/models/")
        assert_inside(layout.ref(repo, Ref("heads", "main")), "refs/models/")
        assert layout.revision(repo, COMMIT).count("/") == 5
        assert RepoId.parse(str(repo)) == repo
        found = layout.parse_ref(layout.ref(repo, Ref("heads", "main")))
        assert found is not None
        assert found[0].key == repo.key


@given(st.sampled_from(layout.REF_KINDS), wild)
def test_no_ref_name_leaves_its_repo(kind: str, name: str) -> None:
    try:
        ref = Ref(kind, name)
    except BadValue:
        assert not layout.is_ref_name(name)
        return
    key = layout.ref(REPO, ref)
    assert_inside(key, f"refs/models/owner/name/{kind}/")
    assert key.count("/") == 5
    assert layout.parse_ref(key) == (RepoId("owner", "name"), ref)
    assert unquote(key.rsplit("/", 1)[1]) == name


@given(wild)
def test_no_text_but_a_commit_or_a_digest_becomes_a_key(text: str) -> None:
    makers: list[Callable[[], str]] = [
        lambda: layout.revision(REPO, text),
        lambda: layout.alias(REPO, text),
        lambda: layout.referrers(REPO, text),
        lambda: layout.referrer(REPO, COMMIT, Digest(text)),
        lambda: layout.blob(Digest(text)),
    ]
    for make in makers:
        try:
            assert_inside(make(), "")
        except BadValue:
            continue
        assert digests.is_commit(text)


@given(st.text(max_size=60))
def test_any_name_that_clients_ask_for_means_only_branches_and_tags(revision: str) -> None:
    for ref in layout.named_by(revision):
        assert ref.kind in ("heads", "tags")
        assert revision in (ref.name, f"refs/{ref}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "name",
        "a/b/c",
        "/name",
        "owner/",
        "../x",
        "x/..",
        "./x",
        ".hidden/x",
        "x/-y",
        "a--b/c",
        "a..b/c",
        "a/b.",
        "a/b-",
        "a b/c",
        "ä/x",
        "a/b\n",
        "a/b.git",
        "a/b.GIT",
        "a/" + "x" * 97,
        "a/b%2f",
        "a\\b/c",
    ],
)
def test_a_repo_is_owner_and_name_by_the_hugging_face_rules(text: str) -> None:
    with pytest.raises(BadValue, match="it must be owner/name"):
        RepoId.parse(text)


@pytest.mark.parametrize("text", ["a/b", "Qwen/Qwen2.5-0.5B_x", "0/0", "a/" + "x" * 96])
def test_usual_repos_are_known_as_they_are_spelled(text: str) -> None:
    assert str(RepoId.parse(text)) == text
    assert RepoId.parse(text).key == f"models/{text}".lower()


@pytest.mark.parametrize(
    "name", ["", ".x", "-x", "/x", "a b", "a..b", "a:b", "a\\b", "ä", "x" * 201, "a" + "/" * 100]
)
def test_a_ref_name_that_fits_no_key_is_refused(name: str) -> None:
    with pytest.raises(BadValue, match="a name is letters, digits and"):
        Ref("heads", name)


def test_there_are_three_kinds_of_refs() -> None:
    with pytest.raises(BadValue, match="ref 'pulls/1' is not usable"):
        Ref("pulls", "1")
    assert str(Ref.pin("prod", "chat", "canary")) == "pins/prod.chat.canary"


def test_a_revision_is_found_in_its_key_and_in_no_other() -> None:
    key = layout.revision(REPO, COMMIT)
    assert layout.parse_revision(key) == (RepoId("owner", "name"), COMMIT)
    for other in (layout.alias(REPO, COMMIT), layout.STORE, key + "/x"):
        assert layout.parse_revision(other) is None


@pytest.mark.parametrize(
    ("ref", "model"),
    [
        (Ref.pin("dev", "chat"), "chat"),
        (Ref.pin("test", "chat"), None),
        (Ref.pin("dev", "chat", "canary"), None),
        (Ref("heads", "dev.chat.stable"), None),
        (Ref("pins", "dev"), None),
    ],
)
def test_a_pin_knows_its_model_in_its_own_environment(ref: Ref, model: str | None) -> None:
    assert ref.pinned_in("dev") == model
