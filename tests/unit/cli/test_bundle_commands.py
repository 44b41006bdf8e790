"""pack, inspect, verify and sideload as people and scripts see them."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import FILES, REPO, files_of, new_store, of_bundle, write
from tests.unit.cli.conftest import Waybill
from waybill.bundle import tray
from waybill.bundle.media import Bundle
from waybill.cli.output import Console
from waybill.store.layout import Ref


def commit_of(bundle: Path) -> str:
    return Bundle.open([bundle]).index.revisions[0].manifest.commit


def test_pack_tells_what_it_made(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    options = ["--out", tmp_path / "out", "--part-size", "12288"]
    command = ["pack", model, "--as", "Acme/Demo", *options]
    ran = waybill(*command, "--json")
    commit = commit_of(tmp_path / "out")
    assert ran.result == {
        "repo": "Acme/Demo",
        "commit": commit,
        "files": len(FILES),
        "dropped": {"pytorch_model.bin": "safetensors of the same weights are in ./"},
        "bytes": sum(path.stat().st_size for path in (tmp_path / "out").glob("part-*")),
        "parts": 3,
        "base": None,
        "keyId": None,
        "reused": 0,
    }
    again = waybill(*command)
    assert again.out == (
        f"Acme/Demo at {commit}: 8 files, {ran.result['bytes'] / 1000:.1f} kB in 3 parts, "
        "3 of them from an earlier run\n"
    )


def test_pack_as_a_dry_run_writes_nothing(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    ran = waybill("pack", model, "--as", "Acme/Demo", "--out", tmp_path / "out", "--dry-run")
    assert ran.code == 0
    assert "Acme/Demo: 8 files in 1 part of at most 4.0 GB, " in ran.out
    assert re.search(r"^model\.safetensors +13\.0 kB$", ran.out, re.MULTILINE)
    told = waybill("pack", model, "--as", "Acme/Demo", "--dry-run", "--json").result
    assert {one["path"]: one["size"] for one in told["packed"]} == {
        path: len(data) for path, data in FILES.items()
    }
    assert not (tmp_path / "out").exists()


def test_pack_fills_several_directories(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    ran = waybill("pack", model, "--as", "Acme/Demo", "--out", outs[0], "--out", outs[1])
    assert ran.code == 0
    assert (outs[0] / "bundle.json").read_bytes() == (outs[1] / "bundle.json").read_bytes()


WRONG = {
    "no output": (["--as", "Acme/Demo"], 2, "--out '' is not usable"),
    "no repo": (["--out", "OUT"], 2, "--as '' is not usable: the source does not say owner/name"),
    "a bare name": (["--as", "demo", "--out", "OUT"], 2, "repo 'demo' is not usable"),
    "small parts": (
        ["--as", "a/b", "--out", "OUT", "--part-size", "1kB"],
        2,
        "--part-size 1000 is not usable: it is below 8192 bytes",
    ),
    "an output that is a file": (
        ["--as", "a/b", "--out", "OUT/model/config.json"],
        2,
        "it is inside the source",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_pack_refuses_wrong_arguments(
    what: str, waybill: Waybill, model: Path, tmp_path: Path
) -> None:
    options, code, told = WRONG[what]
    ran = waybill("pack", model, *(one.replace("OUT", str(tmp_path)) for one in options))
    assert ran.code == code
    assert told in ran.err
    assert "\nhint: " in ran.err
    if "OUT" in " ".join(options):
        words = (one.replace("OUT", str(tmp_path)) for one in options)
        assert waybill("pack", model, *words, "--dry-run").err == ran.err
    assert not list(tmp_path.glob("part-*"))


SOURCES = {
    "missing": ({}, "{0}/missing cannot be read: No such file", 1),
    "nothing": ({".git/config": b""}, "{0}/nothing has nothing to pack: no file is left", 2),
    "pickles": ({"a.bin": b""}, "{0}/pickles has only pickled weights for a.bin", 2),
    "new\nline": ({"a": b""}, "", 0),
    "names": ({"a\nb": b""}, "'a\\nb' in {0}/names is refused", 2),
}


@pytest.mark.parametrize("name", SOURCES)
def test_pack_says_what_is_wrong_with_a_source(name: str, waybill: Waybill, tmp_path: Path) -> None:
    files, told, code = SOURCES[name]
    source = write(tmp_path / name, files)
    ran = waybill("pack", source, "--as", "a/b", "--out", tmp_path / "out")
    assert ran.code == code
    assert told.format(tmp_path) in ran.err


def test_pickles_are_packed_when_asked_for(waybill: Waybill, tmp_path: Path) -> None:
    source = write(tmp_path / "pickles", {"a.bin": b""})
    ran = waybill("pack", source, "--as", "a/b", "--out", tmp_path / "out", "--allow-pickle")
    assert ran.code == 0


def test_inspect_shows_origin_files_and_parts(waybill: Waybill, bundle: Path) -> None:
    ran = waybill("inspect", bundle)
    assert ran.out.startswith(f"Acme/Demo at {commit_of(bundle)}\n")
    assert "source: directory\ndropped pytorch_model.bin: safetensors of" in ran.out
    assert all(path in ran.out for path in FILES)
    assert "part-00003.tar" in ran.out


def test_inspect_says_which_parts_are_missing(waybill: Waybill, bundle: Path) -> None:
    (bundle / "part-00002.tar").unlink()
    assert re.search(r"part-00002\.tar +[\d.]+ kB +missing\n", waybill("inspect", bundle).out)
    parts = waybill("inspect", bundle, "--json").result["parts"]
    assert [part["present"] for part in parts] == [True, False, True]


@pytest.mark.parametrize("flag", ["--branch", "--tag"])
def test_no_ref_has_the_name_of_a_commit(
    waybill: Waybill, bundle: Path, tmp_path: Path, flag: str
) -> None:
    ran = waybill("sideload", bundle, "--to", tmp_path / "store", flag, "a" * 40)
    assert (ran.code, f"error: {flag} '{'a' * 40}' is not usable: 40 hex" in ran.err) == (2, True)


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_directory_that_is_not_there_is_no_medium(
    waybill: Waybill, bundle: Path, command: str
) -> None:
    """Beside one that is: it was mistyped, or is not mounted."""
    ran = waybill(command, bundle, bundle.with_name("mistyped"))
    assert ran.code == 2
    assert f"error: {bundle.with_name('mistyped')} is not a bundle: no bundle.json" in ran.err


def test_inspect_as_json_has_digests_and_origin(waybill: Waybill, bundle: Path) -> None:
    (revision,) = waybill("inspect", bundle, "--json").result["revisions"]
    assert revision["commit"] == revision["digest"].removeprefix("sha256:")[:40]
    assert [file["path"] for file in revision["files"]] == sorted(FILES)
    assert revision["origin"]["source"] == "directory"
    assert list(revision["origin"]["dropped"]) == ["pytorch_model.bin"]


def test_verify_of_a_good_bundle(waybill: Waybill, bundle: Path) -> None:
    ran = waybill("verify", bundle)
    assert ran.code == 0
    assert ran.out.startswith("3 of 3 parts are good (")


def test_verify_without_a_part_is_not_a_success(waybill: Waybill, bundle: Path) -> None:
    (bundle / "part-00002.tar").unlink()
    ran = waybill("verify", bundle, "--json")
    assert ran.code == 2
    told = {"parts": 3, "good": 2, "missing": ["part-00002.tar"], "wrong": {}, "untrusted": []}
    assert ran.result == told
    assert "not on these media: part-00002.tar" in waybill("verify", bundle).out


def test_verify_names_each_bad_part_and_goes_on(waybill: Waybill, bundle: Path) -> None:
    with (bundle / "part-00001.tar").open("ab") as part:
        part.write(b"x")
    ran = waybill("verify", bundle)
    assert ran.code == 4
    assert ran.out.startswith(f"{bundle}/part-00001.tar has ")
    assert "2 of 3 parts are good" in ran.out


def test_verify_of_a_store(waybill: Waybill, bundle: Path, store: Path) -> None:
    waybill("sideload", bundle, "--to", store)
    ran = waybill("verify", "--store", store)
    assert (ran.code, ran.out[:11]) == (0, "1 revision,")
    blob = max((store / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[::-1])
    ran = waybill("verify", "--store", store, "--json")
    assert ran.code == 4
    digest, commit = f"sha256:{blob.name}", next(store.rglob("revisions/*")).name
    assert list(ran.result["wrong"]) == [digest]
    name = f"model.safetensors of acme/demo at {commit}"
    assert ran.result["files"] == {digest: [name]}
    told = waybill("verify", "--store", store).out.splitlines()
    assert told[0].startswith(f"{digest} in {store.as_uri()} is corrupt: ")
    assert told[1] == f"  it is {name}"


@pytest.mark.parametrize("options", [[], ["BUNDLE", "--store", "STORE"]])
def test_verify_takes_a_bundle_or_a_store(
    options: list[str], waybill: Waybill, bundle: Path, store: Path
) -> None:
    names = {"BUNDLE": bundle, "STORE": store}
    ran = waybill("verify", *(names.get(one, one) for one in options))
    assert ran.code == 2
    assert "name the media of one, or else a --store" in ran.err


def test_sideload_tells_what_it_sent(waybill: Waybill, bundle: Path, store: Path) -> None:
    dry = waybill("sideload", bundle, "--to", store, "--dry-run")
    blobs = len({*FILES.values()})
    assert dry.out.startswith(f"would send {blobs} of {blobs} blobs (")
    assert not (store / "blobs").exists()
    ran = waybill("sideload", bundle, "--to", store, "--tag", "v1", "--why", "W", "--by", "B")
    commit = commit_of(bundle)
    assert ran.out.startswith(f"Acme/Demo at {commit} is in {store.as_uri()}: sent {blobs} of ")
    opened = new_store(store)
    assert files_of(opened) == files_of(opened, "v1") == FILES
    head = opened.head(REPO, Ref("heads", "main"))
    assert head is not None
    assert (head.record.by, head.record.why) == ("B", "W")
    again = waybill("sideload", bundle, "--to", store, "--branch", "next", "--json")
    assert again.result["missing"] == again.result["bytes"] == 0
    assert again.result["revisions"] == [
        {"repo": "Acme/Demo", "commit": commit, "refs": ["heads/next"], "notes": []}
    ]


def test_a_bundle_on_three_media_is_loaded_in_any_order(
    waybill: Waybill, bundle: Path, store: Path, tmp_path: Path
) -> None:
    media = [tmp_path / name for name in "abc"]
    for medium, part in zip(media, sorted(bundle.glob("part-*")), strict=True):
        medium.mkdir()
        (medium / part.name).write_bytes(part.read_bytes())
        (medium / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes())
    assert waybill("verify", *reversed(media)).code == 0
    assert waybill("sideload", media[1], media[2], media[0], "--to", store).code == 0
    assert files_of(new_store(store)) == FILES


def test_with_one_drive_the_other_media_are_asked_for(
    waybill: Waybill, bundle: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, (first, *others) = tmp_path / "drive", sorted(bundle.glob("part-*"))
    drive.mkdir()
    for path in (bundle / "bundle.json", first):
        shutil.copy(path, drive)
    asked = []

    def insert(_: Console, text: str) -> None:
        asked.append(text)
        for part in others:
            shutil.copy(part, drive)

    monkeypatch.setattr(tray, "POLL", 0.001)
    monkeypatch.setattr(Console, "note", insert)
    assert waybill("sideload", drive, "--to", store, "--wait").code == 0
    assert asked == ["insert the medium with part-00002.tar"]
    assert files_of(new_store(store)) == FILES


def test_what_a_store_may_hold_is_asked_before_the_first_byte(
    waybill: Waybill, bundle: Path, store: Path, tmp_path: Path
) -> None:
    """As a flag says it, or the environment."""
    copy = new_store(tmp_path / "copy").url
    (tmp_path / "values").mkdir()
    places = f"{{small: {{store: {copy}, capacity: 9kB}}}}"
    (tmp_path / "values/environments.yaml").write_text(f"environments: {places}\n")
    small = ("small", "--project", tmp_path)
    assert waybill("sideload", bundle, "--to", store).code == 0
    for command in (
        ("sideload", bundle, "--to", *small),
        ("sideload", bundle, "--to", copy, "--capacity", "9kB"),
        ("sync", store, *small),
        ("sync", store, copy, "--capacity", "9kB"),
    ):
        ran = waybill(*command)
        assert (ran.code, f"{copy} has room for " in ran.err) == (1, True), ran.err
    assert not (tmp_path / "copy/blobs").exists()
    assert waybill("sideload", bundle, "--to", *small, "--capacity", "9MB").code == 0


def test_what_comes_back_by_pull_is_packed_to_the_same_parts(
    waybill: Waybill, bundle: Path, store: Path, tmp_path: Path
) -> None:
    waybill("sideload", bundle, "--to", store)
    waybill("pull", "Acme/Demo@main", "--from", store, "--out", tmp_path / "back")
    out = tmp_path / "again"
    waybill("pack", tmp_path / "back", "--as", "Acme/Demo", "--out", out, "--part-size", "12288")
    assert commit_of(out) == commit_of(bundle)
    ours, theirs = of_bundle(out), of_bundle(bundle)
    assert {n: d for n, d in ours.items() if ".tar" in n} == {
        n: d for n, d in theirs.items() if ".tar" in n
    }
    assert json.loads((out / "bundle.json").read_bytes())["parts"]


def test_a_bundle_of_changes_from_the_inventory_of_a_store(
    waybill: Waybill, bundle: Path, store: Path, model: Path, tmp_path: Path
) -> None:
    waybill("sideload", bundle, "--to", store)
    listed = waybill("inventory", store, "--out", tmp_path / "there.json", "--json").result
    assert listed["files"] == len({*FILES.values()})
    (model / "added.json").write_bytes(b"{}")
    command = ["pack", model, "--as", "Acme/Demo", "--out", tmp_path / "delta"]
    ran = waybill(*command, "--base", tmp_path / "there.json", "--json")
    assert ran.result["base"] == {"of": store.as_uri(), "files": len(FILES)}
    assert f"left out: {listed['files']} files" in waybill("inspect", tmp_path / "delta").out
    assert waybill("sideload", tmp_path / "delta", "--to", store).code == 0
    assert waybill("pack", model, "--base", tmp_path / "nothing", "--dry-run").code == 2


def test_a_source_is_loaded_without_a_bundle(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    into = ("--to", new_store(tmp_path / "store").url)
    first = waybill("sideload", model, "--as", "Acme/Demo", *into, "--json").result
    assert first["missing"] == first["blobs"]
    again = waybill("sideload", model, "--as", "Acme/Demo", *into, "--json").result
    assert (again["missing"], again["revisions"]) == (0, first["revisions"])


WRONG_KIND = {
    "a directory without a name": (["MODEL"], "is not a bundle"),
    "nothing to load": ([], "name one, or the media of a bundle"),
    "waiting for a source": (["MODEL", "--as", "a/b", "--wait"], "--wait True is not usable"),
    "two sources": (["hf://a/b", "MODEL"], "one source at a time"),
    "a bundle as something": (["BUNDLE", "--as", "a/b"], "--as 'a/b' is not usable: it is not for"),
}


@pytest.mark.parametrize("case", WRONG_KIND)
def test_bundles_and_sources_are_told_apart(
    case: str, waybill: Waybill, model: Path, bundle: Path, tmp_path: Path
) -> None:
    arguments, told = WRONG_KIND[case]
    places = {"MODEL": model, "BUNDLE": bundle}
    store = new_store(tmp_path / "store").url
    ran = waybill("sideload", *(places.get(one, one) for one in arguments), "--to", store)
    assert ran.code == 2
    assert told in ran.err


def test_a_model_may_have_a_file_named_as_the_index(
    waybill: Waybill, model: Path, store: Path
) -> None:
    (model / "bundle.json").write_text("{}")
    assert waybill("sideload", model, "--as", "Acme/Demo", "--to", store).code == 0


def test_a_bundle_is_no_model(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    bundle, store = tmp_path / "out", tmp_path / "store"
    waybill("pack", model, "--as", "Acme/Demo", "--out", bundle)
    waybill("store", "init", store)
    ran = waybill("sideload", bundle.as_uri(), "--as", "Acme/Oops", "--to", store)
    assert (ran.code, "it is a bundle, and no model" in ran.err) == (2, True)
    ran = waybill("pack", bundle, "--as", "Acme/Oops", "--dry-run")
    assert (ran.code, "it is a bundle, and no model" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--base", "a", "--base", "b"), "one at a time"),
        (
            ("--base-endpoint", "http://s3"),
            "http://s3 is for one that is a store, and this is none",
        ),
    ],
)
def test_one_base_is_asked_for(
    waybill: Waybill, model: Path, words: tuple[str, ...], why: str
) -> None:
    ran = waybill("pack", model, "--as", "Acme/Demo", "--dry-run", *words)
    assert (ran.code, why in ran.err) == (2, True)


def test_an_inventory_replaces_nothing_but_files(waybill: Waybill, tmp_path: Path) -> None:
    waybill("store", "init", tmp_path / "store")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "nowhere/x.json"):
        ran = waybill("inventory", tmp_path / "store", "--out", place)
        assert (ran.code, "nor could it become one" in ran.err) == (2, True)
    assert (tmp_path / "pipe").is_fifo()
