"""What makes a revision of files is compared before a ref moves, and mended with them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import DECISION, MAIN, REPO, load
from waybill import digest as digests
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Check, Decision, Loaded, Loading
from waybill.cli.main import main
from waybill.errors import Corrupt
from waybill.store import layout
from waybill.store.publish import Publication, damaged, mend, publish
from waybill.store.store import Store

TAG = layout.Ref("tags", "v1")
KINDS = ("config", "manifest", "referrers", "revisions", "statement")
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    "cut short": lambda data: data[:-1],
    "gone to zero": lambda _: b"",
}


def plan(bundle: Path, store: Store, check: Check, decision: Decision = DECISION) -> Loading:
    return Loading.plan(BundleCargo(Bundle.open([bundle])), store, decision, check)


def path_of(store: Store, loaded: Loaded, kind: str) -> Path:
    """The file of a store that is, or that is kept under, what `kind` names."""
    manifest = store.manifest(REPO, loaded.commit)
    keys = {
        "manifest": layout.blob(manifest.descriptor.digest),
        "config": layout.blob(digests.of(manifest.config)),
        "revisions": layout.revision(REPO, loaded.commit),
        "statement": layout.blob(store.referrers(REPO, loaded.commit)[0].digest),
        "referrers": store.said(REPO, loaded.commit)[0].key,
    }
    path = store.backend.local_path(keys[kind])
    assert path
    return path


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_no_ref_comes_to_what_cannot_be_read_until_it_is_mended(
    bundle: Path, store: Store, kind: str, damage: str
) -> None:
    path = path_of(store, load(store, bundle)[0], kind)
    good = path.read_bytes()
    bad = DAMAGE[damage](good)
    path.write_bytes(bad)
    with pytest.raises(Corrupt, match=path.name):
        plan(bundle, store, Check.PRESENT, Decision((TAG,), "", "")).run()
    assert store.head(REPO, TAG) is None
    with pytest.raises(Corrupt, match=path.name):
        plan(bundle, store, Check.DEEP)
    assert path.read_bytes() == bad
    loading = plan(bundle, store, Check.REPAIR, Decision((TAG,), "", ""))
    assert (loading.missing, len(loading.rotten)) == ((), 1)
    loading.run()
    assert path.read_bytes() == good
    assert store.head(REPO, TAG)
    assert plan(bundle, store, Check.DEEP).missing == ()


def test_an_alias_is_mended_too(bundle: Path, store: Store) -> None:
    manifest = store.manifest(REPO, load(store, bundle)[0].commit)
    what = Publication(REPO, manifest, (), ("e" * 40,))
    publish(store, what, lambda _: None)
    path = store.backend.local_path(layout.alias(REPO, "e" * 40))
    assert path and not damaged(store, what)
    path.write_bytes(b"\xff")
    mend(store, what)
    assert store.alias(REPO, "e" * 40) == manifest.commit


def test_the_command_counts_them_and_says_how_to_mend_them(
    bundle: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path_of(store, load(store, bundle)[0], "manifest").write_bytes(b"{")
    command = ["sideload", str(bundle), "--to", store.url]
    assert main(command) == Corrupt.exit_code
    assert "sideload --repair" in capsys.readouterr().err
    assert main([*command, "--repair"]) == 0
    assert "; damaged: 1\n" in capsys.readouterr().out


def test_repair_moves_no_ref_that_is_there(bundle: Path, store: Store) -> None:
    """Who mends an older revision has not decided that it is to be served."""
    load(store, bundle)
    newer = store.move(REPO, MAIN, "f" * 40, expected=store.head(REPO, MAIN), by="", why="")
    (again,) = plan(bundle, store, Check.REPAIR).run()
    assert store.head(REPO, MAIN) == newer
    assert again.moved == ()
    assert again.notes == (
        "heads/main stays at " + "f" * 40 + ": --repair moves no ref that is there",
    )
