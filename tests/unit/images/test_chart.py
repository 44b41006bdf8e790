"""The chart of a bundle becomes a folder: checked first, whole or not at all, over nothing else."""

import os
import re
import stat
from pathlib import Path

import pytest

from tests.images import archive, build, layer
from tests.unit.bundle.bundles import bytes_below, files_of_at_most, flip, noise, write
from tests.unit.cli.conftest import Ran, Waybill
from tests.unit.images.conftest import HUB
from tests.unit.images.test_save import index_at, trusting
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from waybill.bundle.images import Saving
from waybill.deliver.installer.charts import archived
from waybill.source.archives import ArchiveImages
from waybill.source.images import resolve
from waybill.source.reference import Reference

FILES = {
    "Chart.yaml": b"{apiVersion: v2, name: demo, version: 1.0.0}",
    "values.yaml": b"a: 1\n",
    "templates/one.yaml": b"kind: ConfigMap\n",
    "charts/below/Chart.yaml": b"{apiVersion: v2, name: below, version: 1.0.0}",
}
NEWER = {**FILES, "values.yaml": b"a: 2\n", "templates/two.yaml": b""}


def packed(files: dict[str, bytes], name: str = "demo") -> bytes:
    return archived({f"{name}/{path}": data for path, data in files.items()})


def bundled(waybill: Waybill, out: Path, files: dict[str, bytes], *options: object) -> Path:
    """A bundle of one image and this chart."""
    images = {HUB: build([layer({"a": b"1"})])}
    built, chart = out.with_suffix(".tar"), out.with_suffix(".tgz")
    chart.write_bytes(packed(files))
    arguments = ("images", "save", HUB, "--archive", archive(built, images), "--out", out)
    ran = waybill(*arguments, "--chart", chart, *options)
    assert ran.code == 0, ran.err
    return out


@pytest.fixture
def carried(waybill: Waybill, tmp_path: Path) -> Path:
    return bundled(waybill, tmp_path / "bundle", FILES)


def restore(waybill: Waybill, bundle: Path, *options: object) -> Ran:
    """Into the project beside the bundle."""
    return waybill("images", "chart", bundle, "--project", bundle.parent, *options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_the_chart_comes_where_the_project_has_it_and_stays(
    waybill: Waybill, carried: Path
) -> None:
    assert "waybill images chart DIRECTORY..." in (carried / "README.txt").read_text()
    ran = restore(waybill, carried, "--json")
    assert ran.code == 0, ran.err
    target = carried.parent / "charts/demo"
    assert contents(target) == FILES
    stack = index_at(carried).stack
    assert stack
    (digest,) = (one.digest for one in stack.files if one.path == "charts/demo-1.0.0.tgz")
    told = {"name": "demo", "version": "1.0.0", "digest": digest, "path": str(target)}
    assert ran.result["charts"] == [{**told, "new": True, "replaced": False}]
    before = [each.stat() for each in sorted(target.rglob("*"))]
    ran = restore(waybill, carried, "--replace", "--json")
    assert ran.result["charts"] == [{**told, "new": False, "replaced": False}]
    assert [each.stat() for each in sorted(target.rglob("*"))] == before
    assert names(target.parent) == {"demo"}


def test_a_dry_run_reads_all_and_writes_nothing(waybill: Waybill, carried: Path) -> None:
    ran = restore(waybill, carried, "--dry-run")
    assert (ran.code, "demo 1.0.0 would be written" in ran.out) == (0, True), ran.err
    assert not (carried.parent / "charts").exists()
    flip(carried / "part-00001.tar", (carried / "part-00001.tar").read_bytes().index(b"\x1f\x8b"))
    assert restore(waybill, carried, "--dry-run").code == 4


@pytest.mark.parametrize("what", ["changed", "more", "less", "link", "file"])
def test_another_one_in_its_place_is_named_and_kept(
    what: str, waybill: Waybill, carried: Path
) -> None:
    charts = carried.parent / "charts"
    assert restore(waybill, carried).code == 0
    named = {"changed": "values.yaml", "more": "mine.yaml", "less": "values.yaml"}
    target = charts / "demo"
    if what in ("link", "file"):
        target.rename(charts / "elsewhere")
    match what:
        case "changed":
            (target / "values.yaml").write_bytes(b"a: 3\n")
        case "more":
            (target / "mine.yaml").symlink_to("values.yaml")
        case "less":
            (target / "values.yaml").unlink()
        case "link":
            target.symlink_to("elsewhere")
        case "file":
            target.write_text("mine")
    before = bytes_below(charts)
    ran = restore(waybill, carried)
    why = f"{named[what]} differs" if what in named else "it is no folder"
    assert ran.code == 2
    assert f"is not demo-1.0.0.tgz of the bundle: {why}" in ran.err
    assert bytes_below(charts) == before
    assert restore(waybill, carried, "--replace", "--dry-run").code == 0
    assert bytes_below(charts) == before
    ran = restore(waybill, carried, "--replace", "--json")
    assert ran.result["charts"][0]["replaced"] is True
    assert contents(target) == FILES
    assert not target.is_symlink()
    assert names(charts) <= {"demo", "elsewhere"}
    if what == "link":
        assert contents(charts / "elsewhere") == FILES, "what a link leads to is not touched"


def test_a_new_version_takes_the_place_of_the_old_and_goes_back(
    waybill: Waybill, carried: Path, tmp_path: Path
) -> None:
    newer = bundled(waybill, tmp_path / "newer", NEWER, "--base", carried)
    for bundle, files in ((carried, FILES), (newer, NEWER), (carried, FILES)):
        assert restore(waybill, bundle, "--replace").code == 0
        assert contents(tmp_path / "charts/demo") == files


def test_a_bundle_of_changes_has_its_chart_though_the_base_has_the_same(
    waybill: Waybill, carried: Path, tmp_path: Path
) -> None:
    delta = bundled(waybill, tmp_path / "delta", FILES, "--base", carried)
    assert index_at(delta).base
    assert restore(waybill, delta).code == 0
    assert contents(tmp_path / "charts/demo") == FILES


@pytest.mark.parametrize("kept", [False, True], ids=["first", "between-the-renames"])
def test_what_was_killed_is_done_by_a_rerun(kept: bool, waybill: Waybill, carried: Path) -> None:
    charts = carried.parent / "charts"
    write(charts / ".demo.partial", {"values.yaml": b"a:", "templates/left.yaml": b"left"})
    if kept:
        write(charts / ".demo.before", {"values.yaml": b"a: 0\n"})
    assert restore(waybill, carried).code == 0
    assert contents(charts / "demo") == FILES
    assert names(charts) == {"demo"}


def test_what_cannot_be_written_leaves_what_was_there(waybill: Waybill, carried: Path) -> None:
    charts = carried.parent / "charts"
    charts.write_text("a file")
    ran = restore(waybill, carried)
    assert (ran.code, "charts/demo cannot be written: Not a directory" in ran.err) == (1, True)
    assert charts.read_text() == "a file"


def test_a_full_disk_leaves_what_was_there_and_no_more(
    waybill: Waybill, carried: Path, tmp_path: Path
) -> None:
    large = bundled(waybill, tmp_path / "large", {**FILES, "z": noise(100_000, 1)})
    assert restore(waybill, carried).code == 0
    with files_of_at_most(50_000):
        ran = restore(waybill, large, "--replace")
    assert (ran.code, "charts/demo cannot be written: File too large" in ran.err) == (1, True)
    assert contents(tmp_path / "charts/demo") == FILES
    assert names(tmp_path / "charts") == {"demo"}


def test_the_new_one_is_on_disk_before_the_old_is_removed(
    waybill: Waybill, carried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = bundled(waybill, tmp_path / "newer", NEWER)
    assert restore(waybill, carried).code == 0
    on_disk: dict[int, list[set[str]]] = {}

    def synced(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            on_disk.setdefault(found.st_ino, []).append(set(os.listdir(descriptor)))

    monkeypatch.setattr(os, "fsync", synced)
    assert restore(waybill, newer, "--replace").code == 0
    charts = tmp_path / "charts"
    assert on_disk[charts.stat().st_ino] == [{"demo", ".demo.before"}]
    for folder in (charts / "demo", *(charts / "demo").rglob("*")):
        if folder.is_dir():
            assert on_disk[folder.stat().st_ino] == [names(folder)]


def test_nothing_is_written_of_a_damaged_bundle(waybill: Waybill, carried: Path) -> None:
    part = carried / "part-00001.tar"
    flip(part, part.read_bytes().index(b"\x1f\x8b") + 30)
    ran = restore(waybill, carried)
    assert (ran.code, "charts/demo-1.0.0.tgz of part" in ran.err) == (4, True), ran.err
    part.unlink()
    assert restore(waybill, carried).code == 2
    assert not (carried.parent / "charts").exists()


def test_the_signature_of_the_index_is_that_of_the_chart(waybill: Waybill, tmp_path: Path) -> None:
    key = ed25519_key()
    signed = bundled(
        waybill, tmp_path / "signed", FILES, "--key", write_key(tmp_path / "key.pem", key)
    )
    unsigned = bundled(waybill, tmp_path / "unsigned", FILES)
    ours = policy_file(tmp_path / "ours", **trusting(public_pem(key)))
    theirs = policy_file(tmp_path / "theirs", **trusting(public_pem(ed25519_key())))
    of_charts = {**trusting(public_pem(key)), "default": {"unsigned": "allow"}}
    of_charts["repos"] = {"charts/*": {"signedBy": ["release"], "unsigned": "refuse"}}
    charts_alone = policy_file(tmp_path / "charts-alone", **of_charts)
    for bundle, policy in ((signed, theirs), (unsigned, ours), (unsigned, charts_alone)):
        ran = restore(waybill, bundle, "--trust", policy)
        assert ran.code == 3, ran.err
        assert not (tmp_path / "charts").exists()
    for policy in (ours, charts_alone):
        let_in = restore(waybill, signed, "--trust", policy)
        assert let_in.code == 0 and "warning" not in let_in.err


def test_a_chart_that_no_rule_asks_for_is_let_in_with_a_word(
    waybill: Waybill, carried: Path, tmp_path: Path
) -> None:
    rules = {**trusting(public_pem(ed25519_key())), "default": {"unsigned": "allow"}}
    ran = restore(waybill, carried, "--trust", policy_file(tmp_path / "trust", **rules))
    assert ran.code == 0
    assert "asks for nobody's signature of charts/demo-" in ran.err


def test_a_bundle_without_a_chart_says_what_to_do(
    waybill: Waybill, saved: Path, model: Path, tmp_path: Path
) -> None:
    ran = restore(waybill, saved)
    assert (ran.code, "has no chart" in ran.err) == (2, True)
    assert "--no-chart" in ran.err
    assert waybill("pack", model, "--as", "acme/demo", "--out", tmp_path / "models").code == 0
    ran = restore(waybill, tmp_path / "models")
    assert (ran.code, "has no images" in ran.err) == (2, True)


def holding(folder: Path, beside: dict[str, bytes]) -> Path:
    """A bundle of one image and these files, which no command would make."""
    image = build([layer({"a": b"1"})])
    images = ArchiveImages([archive(folder / "images.tar", {HUB: image})])
    name, out = Reference.parse(HUB), folder / "bundle"
    out.mkdir()
    Saving.plan([out], images, {name: resolve(images, name)}, beside).run([out])
    return out


def test_two_versions_of_one_chart_are_refused(waybill: Waybill, tmp_path: Path) -> None:
    second = {**FILES, "Chart.yaml": b"{apiVersion: v2, name: demo, version: 2.0.0}"}
    beside = {"charts/demo-1.0.0.tgz": packed(FILES), "charts/demo-2.0.0.tgz": packed(second)}
    out = holding(tmp_path, beside)
    for options in ([], ["--dry-run"], ["--replace"]):
        ran = restore(waybill, out, *options)
        assert ran.code == 2
        assert "demo-2.0.0.tgz cannot be used: the bundle has another version" in ran.err
    assert not (tmp_path / "charts").exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"demo/../../out": b""}, "does not belong into a chart"),
        ({"/etc/out": b""}, "does not belong into a chart"),
        ({"other/values.yaml": b""}, "its files are not in one folder"),
        ({"out": b""}, "its files are not in one folder"),
        ({"demo/a\nb": b""}, "not printable"),
        ({"demo/one": b"", "demo/one/two": b""}, "one is both a file and a folder in it"),
        ({"demo/Chart.yaml": b"{name: waybill, version: 1.0.0}"}, "its name inside is waybill-1"),
    ],
)
def test_an_archive_that_was_made_to_harm_is_refused(
    files: dict[str, bytes], why: str, waybill: Waybill, tmp_path: Path
) -> None:
    """Signed by whom it may: one who may sign images may still not write beside the charts."""
    good = {f"demo/{path}": data for path, data in FILES.items()}
    out = holding(tmp_path, {"charts/demo-1.0.0.tgz": archived({**good, **files})})
    for options in (["--dry-run"], []):
        ran = restore(waybill, out, *options)
        assert ran.code == 2, ran.err
        assert re.search(why, ran.err)
    found = {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")}
    assert not {"out", "charts/demo", "charts/out", "etc"} & found
