"""What every store must do with revisions, aliases, statements and refs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from waybill import digest as digests
from waybill.errors import (
    BadFile,
    BadValue,
    BlobMissing,
    Corrupt,
    NoConditionalWrites,
    RefMoved,
    RepoNotFound,
    RevisionNotFound,
)
from waybill.manifest import STATEMENT_TYPE, File, Manifest
from waybill.store import layout
from waybill.store.layout import Ref, RepoId
from waybill.store.record import RECORD_TYPE, Head
from waybill.store.store import Store

if TYPE_CHECKING:
    from tests.store_contract import Overwrite, Place

REPO = RepoId("Owner", "Model-1.5_x")
MAIN = Ref("heads", "main")
UPSTREAM = "f" * 40


def manifest_of(store: Store, *contents: bytes) -> Manifest:
    """A manifest whose blobs are in the store."""
    files = [File(f"file-{n}", digests.of(data), len(data)) for n, data in enumerate(contents)]
    for data in contents:
        store.write(data, files[0].media_type)
    return Manifest.of(files)


def add(store: Store, *contents: bytes, repo: RepoId = REPO) -> str:
    manifest = manifest_of(store, *contents)
    store.add_revision(repo, manifest)
    return manifest.commit


def move(store: Store, commit: str, ref: Ref = MAIN, by: str = "me", why: str = "test") -> Head:
    """As the tools move a ref: from what it holds now."""
    return store.move(REPO, ref, commit, expected=store.head(REPO, ref), by=by, why=why)


class Stopped(Exception):
    """The process died here."""


class Fragile:
    """A backend that dies at its call number `at`: before it is done, or just after it."""

    def __init__(self, backend: Any, at: int, after: bool) -> None:
        self._backend, self._left, self._after = backend, at, after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        return self._guarded(value) if callable(value) else value

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._after:
                raise Stopped
            result = function(*arguments)
            if self._left < 0:
                raise Stopped
            return result

        return call


def release(store: Store, contents: list[bytes]) -> str:
    """All that a sideload writes, in its order."""
    manifest = manifest_of(store, *contents)
    store.add_revision(REPO, manifest)
    store.add_referrer(REPO, manifest.commit, b"statement of " + contents[0], STATEMENT_TYPE)
    store.add_alias(REPO, UPSTREAM, manifest.commit)
    move(store, manifest.commit)
    return manifest.commit


def crashes(store: Store, contents: list[bytes], after: bool) -> Iterator[int]:
    """Stop a release at its first call, then at its second, and so on until it is through."""
    for at in range(200):
        try:
            release(Store(Fragile(store.backend, at, after)), contents)
        except Stopped:
            yield at
        else:
            return
    raise AssertionError("a release is not that long")


class RefContract:
    # Revisions.

    def test_a_revision_is_found_by_its_commit(self, store: Store) -> None:
        manifest = manifest_of(store, b"one", b"two", b"")
        store.add_revision(REPO, manifest)
        store.add_revision(REPO, manifest)
        assert store.manifest(REPO, manifest.commit) == manifest
        assert store.revision(REPO, manifest.commit) == manifest.descriptor
        assert store.revisions(REPO) == [manifest.commit]
        assert store.resolve(REPO, manifest.commit) == manifest.commit

    def test_an_unknown_repo_is_told_from_an_unknown_revision(self, store: Store) -> None:
        absent = "0" * 40
        for look in (store.resolve, store.manifest):
            with pytest.raises(RepoNotFound, match=r"there is no repo Owner/Model-1\.5_x in"):
                look(REPO, absent)
        with pytest.raises(RepoNotFound):
            store.resolve(REPO, "main")
        add(store, b"one")
        for look in (store.resolve, store.manifest):
            with pytest.raises(RevisionNotFound, match=f"has no revision '{absent}'"):
                look(REPO, absent)
        for name in ("main", "refs/heads/main", "refs/pr/1", "", "a b", "../x", "é", "A" * 40):
            with pytest.raises(RevisionNotFound):
                store.resolve(REPO, name)

    def test_repo_ids_are_compared_without_case(self, store: Store) -> None:
        commit = add(store, b"one")
        move(store, commit)
        other = RepoId("oWNER", "mODEL-1.5_X")
        assert store.manifest(other, commit).commit == commit
        assert store.resolve(other, "main") == commit
        assert list(store.refs()) == list(store.refs(other)) == [(str(REPO), MAIN)]

    def test_repos_whose_names_begin_alike_are_kept_apart(self, store: Store) -> None:
        commit = add(store, b"one", repo=RepoId("owner", "model-2"))
        with pytest.raises(RepoNotFound):
            store.resolve(RepoId("owner", "model"), commit)

    def test_a_revision_that_names_another_manifest_is_corrupt(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        one, two = manifest_of(store, b"one"), manifest_of(store, b"two")
        store.add_revision(REPO, one)
        store.add_revision(REPO, two)
        key = layout.revision(REPO, one.commit)
        overwrite(key, json.dumps(two.descriptor.as_json()).encode())
        with pytest.raises(Corrupt, match=f"expected {one.commit}, found {two.commit}"):
            store.manifest(REPO, one.commit)

    @pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"digest":"sha256:1"}'])
    def test_a_damaged_descriptor_is_a_sentence(
        self, store: Store, overwrite: Overwrite, data: bytes
    ) -> None:
        commit = add(store, b"one")
        store.add_referrer(REPO, commit, b"statement", STATEMENT_TYPE)
        overwrite(layout.revision(REPO, commit), data)
        overwrite(layout.referrer(REPO, commit, digests.of(b"statement")), data)
        for look in (store.manifest, store.referrers):
            with pytest.raises(BadFile, match=f"{commit}.* cannot be used: it is damaged"):
                look(REPO, commit)

    # Aliases and statements.

    def test_an_alias_is_written_once(self, store: Store) -> None:
        one, two = add(store, b"one"), add(store, b"two")
        assert store.add_alias(REPO, UPSTREAM, one)
        assert store.add_alias(REPO, UPSTREAM, one)
        assert not store.add_alias(REPO, UPSTREAM, two)
        assert store.alias(REPO, UPSTREAM) == store.resolve(REPO, UPSTREAM) == one
        assert store.aliases(REPO) == {UPSTREAM: one}
        assert store.alias(REPO, "e" * 40) is None

    def test_a_damaged_alias_is_a_sentence(self, store: Store, overwrite: Overwrite) -> None:
        overwrite(layout.alias(REPO, UPSTREAM), b"../../x\n")
        with pytest.raises(BadFile, match="it is damaged"):
            store.resolve(REPO, UPSTREAM)

    def test_an_upstream_name_that_is_no_commit_gets_no_alias(self, store: Store) -> None:
        for upstream in ("main", "", "../../../../x", "F" * 40):
            with pytest.raises(BadValue, match="it is not 40 lower-case hex digits"):
                store.add_alias(REPO, upstream, "0" * 40)

    def test_statements_are_listed_with_their_revision(self, store: Store) -> None:
        commit, other = add(store, b"one"), add(store, b"two")
        for data in (b"statement", b"another", b"statement"):
            store.add_referrer(REPO, commit, data, STATEMENT_TYPE)
        found = {store.read(blob.digest) for blob in store.referrers(REPO, commit)}
        assert found == {b"statement", b"another"}
        assert {blob.media_type for blob in store.referrers(REPO, commit)} == {STATEMENT_TYPE}
        assert store.referrers(REPO, other) == []

    # Refs.

    def test_a_ref_is_made_and_moved(self, store: Store) -> None:
        one, two = add(store, b"one"), add(store, b"two")
        assert store.head(REPO, MAIN) is None
        first = move(store, one, why="first")
        assert store.head(REPO, MAIN) == first
        second = move(store, two, why="second")
        assert second.record.previous == first.digest
        assert store.resolve(REPO, "main") == store.resolve(REPO, "refs/heads/main") == two
        assert [record.why for record in store.history(REPO, MAIN)] == ["second", "first"]
        assert store.refs() == store.refs(REPO) == {(str(REPO), MAIN): second}

    def test_a_move_to_where_the_ref_stands_adds_nothing(self, store: Store) -> None:
        commit = add(store, b"one")
        head = move(store, commit)
        blobs = [stat.key for stat in store.backend.list("blobs/")]
        assert move(store, commit, why="again") == head
        assert [stat.key for stat in store.backend.list("blobs/")] == blobs
        assert len(list(store.history(REPO, MAIN))) == 1

    def test_a_move_from_what_is_no_longer_there_is_lost(self, store: Store) -> None:
        one, two, three = (add(store, data) for data in (b"1", b"2", b"3"))
        first = move(store, one)
        second = move(store, two)
        for expected in (None, first):
            with pytest.raises(RefMoved, match=f"heads/main of {REPO} was moved") as it:
                store.move(REPO, MAIN, three, expected=expected, by="late", why="test")
            assert it.value.exit_code == 7
        assert store.head(REPO, MAIN) == second
        assert [record.by for record in store.history(REPO, MAIN)] == ["me", "me"]

    @pytest.mark.parametrize("exists", [False, True])
    def test_of_sixteen_writers_exactly_one_wins(
        self, store: Store, place: Place, exists: bool
    ) -> None:
        expected = move(store, add(store, b"base")) if exists else None
        commits = [add(store, b"%d" % number) for number in range(16)]

        def attempt(number: int) -> str | None:
            options = {"expected": expected, "by": f"writer {number}", "why": "race"}
            try:
                return place.open().move(REPO, MAIN, commits[number], **options).commit  # type: ignore[arg-type]
            except RefMoved:
                return None

        with ThreadPoolExecutor(16) as pool:
            won = [commit for commit in pool.map(attempt, range(16)) if commit]
        assert won == [store.resolve(REPO, "main")]
        assert len(list(store.history(REPO, MAIN))) == 1 + exists

    def test_of_two_processes_exactly_one_wins(self, store: Store, place: Place) -> None:
        commits = [add(store, data, repo=RepoId("owner", "model")) for data in (b"1", b"2")]
        workers = [place.worker("move", "main", commit, commit) for commit in commits]
        said = [worker.communicate(timeout=60)[0] for worker in workers]
        assert sorted(worker.returncode for worker in workers) == [0, 7], said
        winner = commits[0] if workers[0].returncode == 0 else commits[1]
        assert store.resolve(RepoId("owner", "model"), "main") == winner

    @pytest.mark.parametrize("name", ["v1.0", "feature/a+b", "a@b", "UPPER", "x_-.y", "0", "a/b/c"])
    def test_any_legal_name_is_one_segment_of_its_key(self, store: Store, name: str) -> None:
        commit, ref = add(store, b"one"), Ref("tags", name)
        move(store, commit, ref)
        assert store.resolve(REPO, name) == store.resolve(REPO, f"refs/tags/{name}") == commit
        assert [ref for _, ref in store.refs(REPO)] == [ref]
        assert layout.ref(REPO, ref).count("/") == 5

    def test_a_branch_goes_before_a_tag_unless_the_name_is_whole(self, store: Store) -> None:
        one, two = add(store, b"one"), add(store, b"two")
        move(store, one, Ref("heads", "x"))
        move(store, two, Ref("tags", "x"))
        move(store, two, Ref("tags", "only"))
        assert store.resolve(REPO, "x") == store.resolve(REPO, "refs/heads/x") == one
        assert store.resolve(REPO, "refs/tags/x") == store.resolve(REPO, "only") == two
        with pytest.raises(RevisionNotFound):
            store.resolve(REPO, "refs/heads/only")

    def test_a_pin_is_no_name_that_clients_can_ask_for(self, store: Store) -> None:
        move(store, add(store, b"one"), Ref.pin("dev", "chat"))
        with pytest.raises(RevisionNotFound):
            store.resolve(REPO, "dev.chat.stable")
        assert [str(ref) for _, ref in store.refs()] == ["pins/dev.chat.stable"]

    def test_a_changed_record_is_noticed(self, store: Store, overwrite: Overwrite) -> None:
        first = move(store, add(store, b"one"))
        second = move(store, add(store, b"two"))
        forged = replace(first.record, by="somebody else")
        overwrite(layout.blob(first.digest), forged.data)
        assert store.head(REPO, MAIN) == second
        with pytest.raises(Corrupt, match=f"{first.digest} in .* is corrupt"):
            list(Store(store.backend).history(REPO, MAIN))

    def test_what_was_read_is_not_read_again_by_the_same_process(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        first = move(store, add(store, b"one"))
        move(store, add(store, b"two"))
        before = list(store.history(REPO, MAIN))
        overwrite(layout.blob(first.digest), b"junk")
        assert list(store.history(REPO, MAIN)) == before

    def test_a_ref_to_a_record_that_is_gone_is_said(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        overwrite(layout.ref(REPO, MAIN), b"sha256:" + b"0" * 64 + b"\n")
        with pytest.raises(BlobMissing, match="lacks sha256:0000"):
            store.head(REPO, MAIN)

    @pytest.mark.parametrize("data", [b"", b"main", b"\xff", b"sha256:1", b"ref: refs/heads/x"])
    def test_a_damaged_ref_is_a_sentence(
        self, store: Store, overwrite: Overwrite, data: bytes
    ) -> None:
        overwrite(layout.ref(REPO, MAIN), data)
        for look in (lambda: store.head(REPO, MAIN), lambda: store.resolve(REPO, "main")):
            with pytest.raises(BadFile, match="heads/main cannot be used: it is damaged"):
                look()

    @pytest.mark.parametrize("data", [b"{}", b"[]", b"1", b'{"evidence":[],"more":1}'])
    def test_a_blob_that_is_no_record_is_a_sentence(
        self, store: Store, overwrite: Overwrite, data: bytes
    ) -> None:
        blob = store.write(data, RECORD_TYPE)
        overwrite(layout.ref(REPO, MAIN), blob.digest.encode())
        with pytest.raises(BadFile, match="it is damaged"):
            store.head(REPO, MAIN)

    def test_a_ref_that_holds_the_record_of_another_is_said(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        move(store, add(store, b"one"))
        head = move(store, add(store, b"two"), Ref("tags", "v1"))
        overwrite(layout.ref(REPO, MAIN), head.digest.encode())
        with pytest.raises(BadFile, match=r"heads/main cannot be used: it holds a record of tags"):
            store.head(REPO, MAIN)

    def test_what_strangers_leave_among_the_refs_is_passed_over(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        commit = move(store, add(store, b"one")).commit
        for stray in (".DS_Store", f"{REPO.key}/heads/.nfs01", "models/x/y/notes/a", "a/b"):
            overwrite(layout.REFS + stray, b"stray")
        assert [head.commit for head in store.refs().values()] == [commit]

    def test_without_conditional_writes_a_single_writer_has_to_say_so(
        self, store: Store, overwrite: Overwrite
    ) -> None:
        commit = add(store, b"one")
        overwrite(layout.STORE, b'{"conditionalWrites":false,"format":1,"id":"x"}')
        with pytest.raises(NoConditionalWrites, match="so moving a ref is not safe"):
            move(Store(store.backend), commit)
        assert store.head(REPO, MAIN) is None
        alone = Store(store.backend, single_writer=True)
        assert move(alone, commit) == store.head(REPO, MAIN)

    # Crashes.

    @pytest.mark.parametrize("after", [False, True])
    def test_a_crash_between_any_two_steps_leaves_the_old_state_working(
        self, store: Store, after: bool
    ) -> None:
        old = release(store, [b"old", b"shared"])
        contents, steps = [b"new", b"shared", b"newer"], list[int]()
        for step in crashes(store, contents, after):
            steps.append(step)
            now = store.resolve(REPO, "main")
            assert store.head(REPO, MAIN) is not None
            assert now == old or after
            for file in store.manifest(REPO, now).files:
                store.verify(file.descriptor)
        assert len(steps) > 10
        new = store.resolve(REPO, "main")
        assert store.manifest(REPO, new).by_path["file-0"].digest == digests.of(b"new")
        assert [record.commit for record in store.history(REPO, MAIN)] == [new, old]
        assert len(store.referrers(REPO, new)) == 1
