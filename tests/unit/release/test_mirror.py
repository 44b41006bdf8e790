"""A whole store brought into another: what arrives, what stays, what a crash leaves."""

import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.printed import result
from tests.unit.release.crash import Crash, Fuse, Fused
from tests.unit.release.world import OTHER, REPO, World, manifest, revision, upstream
from tests.unit.sign.making import asking, signer
from waybill.cli.main import main
from waybill.errors import BadValue, NotAStore, RepoNotFound
from waybill.manifest import Manifest
from waybill.sign.keys import Signer
from waybill.sign.trust import Policy
from waybill.store import evidence, layout, mirror
from waybill.store.audit import inventory
from waybill.store.base import Backend
from waybill.store.connect import connect
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import held
from waybill.store.mirror import Fate, Mirrored
from waybill.store.store import Store

PIN = Ref.pin("dev", "chat")


@pytest.fixture
def source(model: World) -> Store:
    model.revision("dev", 3, OTHER)
    return model.store("dev")


@pytest.fixture
def target(tmp_path: Path) -> Store:
    store = connect((tmp_path / "copy").as_uri())
    store.init()
    return store


def sync(source: Store, target: Store, repo: RepoId | None = None) -> Mirrored:
    return mirror.carry_out(mirror.plan(source, target, repo))


def sign(store: Store, of: Manifest, made: Signer, repo: RepoId = REPO) -> None:
    evidence.sign_provenance(store, repo, of, made, "a test")


def everything(store: Store) -> dict[str, bytes | None]:
    """All keys but store.json, which has an id of its own, and what a backend keeps for itself."""
    places = (layout.BLOBS, layout.REPOS, layout.REFS)
    keys = [stat.key for place in places for stat in store.backend.list(place)]
    return {key: store.backend.read(key) for key in keys}


def test_the_copy_has_the_same_bytes_under_the_same_keys(source: Store, target: Store) -> None:
    done = sync(source, target)
    assert (done.revisions, done.moved, done.wrong, done.unaliased) == (3, 1, {}, ())
    assert everything(target) == everything(source)


def test_again_sends_nothing_and_moves_nothing(source: Store, target: Store) -> None:
    sync(source, target)
    again = mirror.plan(source, target)
    assert again.missing == () and {step.fate for step in again.steps} == {Fate.STANDS}
    assert mirror.carry_out(again).moved == 0


class Counted:
    """A backend that counts the calls of each kind."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.calls = backend, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if not callable(value):
            return value

        def call(*given: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return value(*given, **named)

        return call


def counted(source: Store, target: Store) -> tuple[Counter[str], Counter[str]]:
    """The calls that a sync takes; the target's die at the first change."""
    here, there = Counted(source.backend), Counted(Fused(target.backend, Fuse(0)))
    done = sync(Store(here), Store(there))
    assert done.wrong == {} and done.revisions == len(inventory(source).manifests)
    return here.calls, there.calls


def test_what_has_not_changed_is_not_asked_for_again(
    model: World, source: Store, target: Store
) -> None:
    sync(source, target)
    few = counted(source, target)
    for number in range(4, 14):
        model.revision("dev", number)
    sync(source, target)
    many = counted(source, target)
    assert many[1] - few[1] == {"read": 10}, "the alias of each new one"
    assert many[0] - few[0] == {"read": 50}, "revision, manifest, alias and two statements"


def test_what_the_target_lost_of_a_revision_is_brought_again(source: Store, target: Store) -> None:
    sync(source, target)
    records = {layout.blob(head.digest) for head in source.chain(source.head(REPO, PIN))}
    lost = everything(target).keys() - records - {layout.ref(REPO, PIN)}
    assert len(lost) > 20
    for key in lost:
        path = target.backend.local_path(key)
        assert path
        path.unlink()
        sync(source, target)
        assert path.exists()
    assert everything(target) == everything(source)


def test_after_a_prune_of_the_target_each_revision_is_looked_at_again(
    source: Store, target: Store
) -> None:
    """What was listed before it may be gone."""
    sync(source, target)
    planned = mirror.plan(source, target)
    with held(target, "a test"):
        pass
    gone = target.backend.local_path(layout.revision(OTHER, manifest(3).commit))
    assert gone
    gone.unlink()
    assert mirror.carry_out(planned).revisions == 3
    assert everything(target) == everything(source)


def test_a_ref_goes_forward_over_several_steps(model: World, source: Store, target: Store) -> None:
    sync(source, target)
    for number in (3, 4):
        model.pin("dev", model.revision("dev", number).commit)
    assert sync(source, target).moved == 1
    assert list(target.history(REPO, PIN)) == list(source.history(REPO, PIN))
    assert len(list(target.history(REPO, PIN))) == 4


@pytest.mark.parametrize(("moved_in", "fate"), [("target", Fate.AHEAD), ("both", Fate.APART)])
def test_what_went_another_way_stays(
    model: World, source: Store, target: Store, moved_in: str, fate: Fate
) -> None:
    sync(source, target)
    held, old = target.head(REPO, PIN), manifest(1).commit
    kept = target.move(REPO, PIN, old, expected=held, by="them", why="an emergency")
    if moved_in == "both":
        model.pin("dev", model.revision("dev", 3).commit)
    (step,) = mirror.plan(source, target).steps
    assert step.fate is fate
    assert sync(source, target).moved == 0
    assert target.head(REPO, PIN) == kept


def test_one_repo_alone(source: Store, target: Store) -> None:
    assert sync(source, target, repo=OTHER).revisions == 1
    assert target.revisions(REPO) == [] and target.refs() == {}
    assert target.aliases(OTHER) == {upstream(3): manifest(3).commit}


def test_a_repo_that_is_not_there_is_an_error(source: Store, target: Store) -> None:
    with pytest.raises(RepoNotFound, match="there is no repo acme/no-such in "):
        mirror.plan(source, target, RepoId("acme", "no-such"))


def test_what_is_damaged_is_left_out_and_the_rest_arrives(source: Store, target: Store) -> None:
    pinned = source.head(REPO, PIN)
    assert pinned and pinned.commit == manifest(2).commit
    blob = manifest(2).by_path["model.safetensors"].descriptor
    path = source.backend.local_path(layout.blob(blob.digest))
    assert path
    path.write_bytes(b"y" * blob.size)
    done = sync(source, target)
    lacking = [f"acme/chat at {manifest(2).commit}", f"{PIN} of acme/chat"]
    assert list(done.wrong) == [blob.digest, *lacking]
    assert all(source.url in str(error) for error in done.wrong.values())
    assert target.revisions(REPO) == [manifest(1).commit]
    assert target.head(REPO, PIN) is None, "no ref names what is not there"


def test_what_the_hub_of_the_target_would_refuse_is_left_out(
    source: Store, target: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = signer()
    path = asking(tmp_path / "trust.yaml", made)
    sign(source, manifest(1), made)
    sign(source, manifest(2), signer())
    command = ["sync", source.url, target.url, "--trust", str(path)]
    assert main([*command, "--dry-run"]) == 3 and everything(target) == {}
    assert main(command) == 3
    said = capsys.readouterr().out
    assert f"acme/chat at {manifest(2).descriptor.digest} has no signature that counts: " in said
    assert f"acme/embed at {manifest(3).descriptor.digest} is not signed, and {path} asks" in said
    assert [key for key in everything(target) if "/revisions/" in key] == [
        layout.revision(REPO, manifest(1).commit)
    ]
    assert target.refs() == {}
    assert not target.has(manifest(2).by_path["model.safetensors"].descriptor)

    sign(source, manifest(2), made)
    sign(source, manifest(3), made, OTHER)
    assert main(command) == 0
    assert everything(target) == everything(source)


def test_a_ref_does_not_move_to_what_is_there_and_not_trusted(
    source: Store, target: Store, tmp_path: Path
) -> None:
    """The target may have signed for itself, too."""
    made = signer()
    policy = Policy.load(asking(tmp_path / "trust.yaml", made))
    for number in (1, 2):
        revision(target, number)
    (step,) = mirror.plan(source, target, REPO, policy).steps
    assert step.fate is Fate.REFUSED
    assert mirror.carry_out(mirror.plan(source, target, REPO, policy)).moved == 0
    assert target.head(REPO, PIN) is None
    sign(target, manifest(2), made)
    assert mirror.carry_out(mirror.plan(source, target, REPO, policy)).moved == 1


def test_a_crash_anywhere_leaves_the_copy_sound_and_the_rerun_completes(
    model: World, tmp_path: Path
) -> None:
    source = model.store("dev")
    for whole in itertools.count():
        copy = connect((tmp_path / f"copy-{whole}").as_uri())
        copy.init()
        fuse = Fuse(whole)
        try:
            sync(source, Store(Fused(copy.backend, fuse)))
        except Crash:
            for (repo, _), head in copy.refs().items():
                assert head.commit in copy.revisions(layout.RepoId.parse(repo))
            sync(source, copy)
        assert everything(copy) == everything(source)
        if not fuse.blown:
            break
        shutil.rmtree(tmp_path / f"copy-{whole}")
    assert whole > 10


def test_what_is_no_other_store_is_refused(source: Store, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="it is the source"):
        mirror.plan(source, source)
    with pytest.raises(NotAStore):
        mirror.plan(source, connect((tmp_path / "nothing").as_uri()))


def test_the_command_tells_what_it_does(
    source: Store, target: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sync", source.url, target.url]
    assert main([*command, "--dry-run", "--json"]) == 0
    told = result(capsys.readouterr().out)
    assert told["dryRun"] and told["revisions"] == 3 and everything(target) == {}
    assert told["refs"] == [
        {
            "repo": str(REPO),
            "ref": str(PIN),
            "commit": manifest(2).commit,
            "held": None,
            "fate": "moves",
        }
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("; 1 ref moved\n")
    held = target.head(REPO, PIN)
    target.move(REPO, PIN, manifest(1).commit, expected=held, by="them", why="an emergency")
    made, held = revision(source, 4).commit, source.head(REPO, PIN)
    source.move(REPO, PIN, made, expected=held, by="us", why="a test")
    assert main(command) == 1
    assert f"stays: to bring it to {made}, waybill pin" in capsys.readouterr().out
