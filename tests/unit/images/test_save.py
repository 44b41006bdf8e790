"""Saving: what a bundle of images is, beside models too, and how it is gone on with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.images import AMD64, ARM64, archive, build, digest_of, index_of, layer
from tests.unit.bundle.bundles import (
    FILES,
    PART,
    REPO,
    bytes_below,
    flip,
    load,
    new_store,
    pack,
    rewrite_index,
    write,
)
from tests.unit.bundle.test_readme import command_lines, shell
from tests.unit.cli.conftest import Waybill
from tests.unit.images.conftest import BASE, DATABASE, HUB, IMAGES, blobs_of, save
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from waybill.bundle.format import INDEX, Index
from waybill.bundle.images import Saving
from waybill.bundle.media import Bundle
from waybill.errors import BadFile, ForeignBundle, Interrupted, Unsigned, UntrustedSignature
from waybill.source import streams


def index_at(folder: Path) -> Index:
    return Bundle.open([folder]).index


def trusting(key: str) -> dict[str, Any]:
    rule = {"signedBy": ["release"], "unsigned": "refuse"}
    return {"keys": {"release": {"publicKey": key}}, "default": rule}


def facts_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
    return value


def test_a_bundle_has_each_blob_once_and_the_manifests_as_they_were(saved: Path) -> None:
    index = index_at(saved)
    assert index.stack
    assert {one.name: one.manifest for one in index.stack.images} == {
        name: one.manifest for name, one in IMAGES.items()
    }
    every = [extent.blob for part in index.parts for extent in part.extents if extent.offset == 0]
    assert len(every) == len(set(every))
    assert set(blobs_of(*IMAGES.values())) <= set(every)


def test_the_same_images_give_the_same_bytes(saved: Path, built: Path, waybill: Waybill) -> None:
    again = save(waybill, saved.with_name("again"), built)
    journal = ".waybill-pack.json"
    sums = bytes_below(saved)
    assert bytes_below(again) == sums
    assert journal in sums


def test_verify_reads_every_byte(saved: Path, waybill: Waybill) -> None:
    assert waybill("images", "verify", saved).code == 0
    assert waybill("verify", saved).code == 0
    flip(saved / "part-00001.tar", 2000)
    assert waybill("images", "verify", saved).code == 4
    assert waybill("verify", saved).code == 4


def test_a_directory_takes_nothing_that_would_count_for_nothing(
    saved: Path, waybill: Waybill
) -> None:
    for command in (("list", "--env", "room"), ("list", "--archive", "a.tar"), ("verify", "--all")):
        ran = waybill("images", *command, saved)
        assert (ran.code, f"{command[1]} " in ran.err) == (2, True), ran.err


def test_a_layout_is_restored_with_tar_alone(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    shutil.copytree(saved, target)
    for line in command_lines(target / "README.txt"):
        if not line.startswith("skopeo"):
            said = shell(line, target)
    assert said.count(": OK") == len(blobs_of(*IMAGES.values())) + 3
    for digest, data in blobs_of(*IMAGES.values()).items():
        path = target / "images/blobs/sha256" / digest.removeprefix("sha256:")
        assert path.read_bytes() == data
    told = json.loads((target / "images/index.json").read_bytes())
    assert {one["digest"] for one in told["manifests"]} == {i.digest for i in IMAGES.values()}


class Stop:
    """An Advance that is stopped after some bytes, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Interrupted


def test_what_was_finished_is_not_written_again(
    built: Path, tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Saving.run

    def stopped(self: Saving, outs: Any, _: Any, signer: Any = None) -> Any:
        return run(self, outs, Stop(self.parts[0].size + 100), signer)

    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(Saving, "run", stopped)
        arguments = ["images", "save", HUB, DATABASE, "--archive", built, "--out", out]
        arguments += ["--no-chart", "--part-size", PART]
        assert waybill(*arguments).code == 130
    assert (out / "part-00001.tar").is_file()
    assert not (out / INDEX).exists()
    before = (out / "part-00001.tar").stat()
    ran = waybill(*arguments, "--json")
    assert ran.result["reused"] == 1
    assert (out / "part-00001.tar").stat() == before
    assert waybill("images", "verify", out).code == 0


@pytest.fixture
def both(built: Path, tmp_path: Path, waybill: Waybill) -> Path:
    """A bundle of a model to which the images were added."""
    pack(write(tmp_path / "model", FILES), tmp_path / "both")
    return save(waybill, tmp_path / "both", built)


def test_images_come_after_models_under_one_index(
    both: Path, tmp_path: Path, waybill: Waybill
) -> None:
    pack(tmp_path / "model", tmp_path / "alone")
    alone, index = index_at(tmp_path / "alone"), index_at(both)
    assert index.stack
    assert index.models == alone
    assert (facts_of(tmp_path / "alone")["format"], facts_of(both)["format"]) == (1, 2)
    assert "stack" not in facts_of(tmp_path / "alone")
    assert index.models.data == (tmp_path / "alone" / INDEX).read_bytes()
    assert index.stack.first == len(alone.parts) + 1
    assert waybill("verify", both).code == 0
    store = new_store(tmp_path / "store")
    (loaded,) = load(store, both)
    assert loaded.repo == str(REPO)


def test_a_rerun_finds_all_there_and_another_list_is_refused(
    both: Path, built: Path, waybill: Waybill
) -> None:
    before = bytes_below(both)
    save(waybill, both, built)
    assert bytes_below(both) == before
    ran = waybill("images", "save", HUB, "--archive", built, "--out", both, "--no-chart")
    assert ran.code == 2
    assert "holds another bundle" in ran.err
    assert bytes_below(both) == before


def test_a_model_is_not_packed_over_the_images(both: Path, tmp_path: Path) -> None:
    before = bytes_below(both)
    with pytest.raises(ForeignBundle):
        pack(tmp_path / "model", both)
    assert bytes_below(both) == before


def test_all_media_of_the_models_have_to_be_there(
    built: Path, tmp_path: Path, waybill: Waybill
) -> None:
    pack(write(tmp_path / "model", FILES), tmp_path / "bundle")
    (tmp_path / "bundle/part-00002.tar").rename(tmp_path / "elsewhere.tar")
    arguments = ("images", "save", HUB, "--archive", built, "--no-chart", "--out")
    ran = waybill(*arguments, tmp_path / "bundle")
    assert ran.code == 2
    assert "part-00002.tar" in ran.err


def test_a_signed_bundle_is_signed_again_or_left(
    built: Path, tmp_path: Path, waybill: Waybill
) -> None:
    made = ed25519_key()
    key = write_key(tmp_path / "key.pem", made)
    model = write(tmp_path / "model", FILES)
    out = tmp_path / "signed"
    assert waybill("pack", model, "--as", "a/b", "--out", out, "--key", key).code == 0
    arguments = ("images", "save", HUB, "--archive", built, "--no-chart", "--out", out)
    ran = waybill(*arguments)
    assert (ran.code, "--key" in ran.err) == (2, True)
    before = (out / "bundle.sig").read_bytes()
    assert waybill(*arguments, "--key", key).code == 0
    assert (out / "bundle.sig").read_bytes() != before
    policy = policy_file(tmp_path / "trust.yaml", **trusting(public_pem(made)))
    commands = (("images", "verify"), ("verify",))
    for command in commands:
        assert waybill(*command, out, "--trust", policy).code == 0
    (out / "bundle.sig").write_bytes(before)
    for command in commands:
        ran = waybill(*command, out, "--trust", policy)
        said = ran.out + ran.err
        assert (ran.code, "not trusted" in said) == (UntrustedSignature.exit_code, True)
    # The models have signatures of their own; the images have this one alone.
    (out / "bundle.sig").unlink()
    ran = waybill("verify", out, "--trust", policy)
    assert (ran.code, "bundle.json" in ran.out) == (Unsigned.exit_code, True)


def test_an_unsigned_bundle_is_not_let_in_where_a_policy_asks(
    saved: Path, tmp_path: Path, waybill: Waybill
) -> None:
    key = public_pem(ed25519_key())
    strict = policy_file(tmp_path / "strict.yaml", **trusting(key))
    for command in (("images", "verify"), ("images", "load"), ("verify",)):
        ran = waybill(*command, saved, "--trust", strict)
        assert (ran.code, "bundle.json" in ran.out + ran.err) == (3, True)
    rules = {"example.com/other": {"signedBy": ["release"], "unsigned": "refuse"}}
    of_others = {**trusting(key), "repos": rules, "default": {"unsigned": "allow"}}
    ran = waybill("images", "verify", saved, "--trust", policy_file(tmp_path / "o", **of_others))
    assert ran.code == 0, ran.err


def test_a_bundle_of_changes_leaves_out_what_came_before(
    saved: Path, tmp_path: Path, waybill: Waybill
) -> None:
    new = build([BASE, layer({"hub": b"another"})])
    name = HUB.replace("1.0", "1.1")
    later = archive(tmp_path / "later.tar", {name: new})
    out = tmp_path / "delta"
    ran = waybill(
        "images", "save", name, "--archive", later, "--out", out, "--no-chart", "--base", saved
    )
    assert ran.code == 0, ran.err
    index = index_at(out)
    assert index.base
    assert digest_of(BASE) in index.base.blobs
    assert digest_of(BASE) not in index.blobs
    assert waybill("images", "verify", out).code == 0
    ran = waybill("images", "load", out, "--runtime", "podman")
    assert ran.code == 2


def test_one_platform_of_several_is_saved(tmp_path: Path, waybill: Waybill) -> None:
    small, other = build([layer({"a": b"amd"})]), build([layer({"a": b"arm"})], ARM64)
    index = index_of([(small, AMD64), (other, ARM64)])
    path = archive(tmp_path / "many.tar", {}, {HUB: (index, [small, other])})
    for platform, image in (("linux/amd64", small), ("linux/arm64/v8", other)):
        out = tmp_path / platform
        ran = waybill(
            "images", "save", HUB, "--archive", path, "--out", out, "--no-chart",
            "--platform", platform, "--json",
        )  # fmt: skip
        assert [one["digest"] for one in ran.result["images"]] == [image.digest]
    arguments = ("images", "save", "--archive", path, "--out", tmp_path / "no", "--no-chart")
    ran = waybill(*arguments, HUB, "--platform", "linux/s390x")
    assert (ran.code, "linux/amd64, linux/arm64/v8" in ran.err) == (2, True)
    ran = waybill(*arguments, f"{HUB}@{digest_of(index)}")
    assert ran.code == 2
    assert small.digest in ran.err


NOWHERE = "127.0.0.1:1"
"""A registry that nobody is at."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ASKING", ())


@pytest.mark.usefixtures("impatient")
def test_a_digest_in_the_values_is_what_is_saved_or_nothing(
    built: Path, tmp_path: Path, waybill: Waybill
) -> None:
    arguments = ("images", "save", "--archive", built, "--no-chart", "--json", "--out")
    right, name = IMAGES[HUB].digest, f"{NOWHERE}/acme/hub:1.0"
    assert waybill(*arguments, tmp_path / "a", f"{name}@{right}").code == 0
    ran = waybill(*arguments, tmp_path / "b", f"{name}@{digest_of(b'other')}")
    assert (ran.code, f"{NOWHERE}/acme/hub" in ran.err) == (7, True)


@pytest.mark.parametrize("damage", ["manifest", "layer", "no-index", "no-tar"])
def test_a_damaged_archive_is_refused(
    damage: str, tmp_path: Path, built: Path, waybill: Waybill
) -> None:
    data = built.read_bytes()
    wanted = {"manifest": IMAGES[HUB].manifest, "layer": BASE}.get(damage)
    if wanted:
        at = data.index(wanted) + 40
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    elif damage == "no-index":
        data = data.replace(b"index.json", b"index.jsom")
    else:
        data = b"no archive"
    built.write_bytes(data)
    out = tmp_path / "bundle"
    ran = waybill("images", "save", HUB, "--archive", built, "--out", out, "--no-chart")
    assert ran.code == (4 if wanted else 2), ran.err
    assert not (out / INDEX).exists()


@pytest.mark.usefixtures("impatient")
def test_what_no_archive_has_is_asked_of_its_registry(
    built: Path, tmp_path: Path, waybill: Waybill
) -> None:
    name = f"{NOWHERE}/acme/other:2"
    ran = waybill("images", "save", HUB, name, "--archive", built, "--out", tmp_path / "b")
    assert (ran.code, f"{NOWHERE}/acme/other" in ran.err) == (7, True)


def test_what_an_image_is_cannot_be_changed_in_the_index(saved: Path, tmp_path: Path) -> None:
    def spoil(change: Any) -> str:
        folder = tmp_path / "spoiled"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(saved, folder)
        facts = facts_of(folder)
        change(facts)
        rewrite_index(folder, facts)
        with pytest.raises(BadFile) as failed:
            Bundle.open([folder])
        return str(failed.value)

    def other_manifest(facts: dict[str, Any]) -> None:
        facts["stack"]["images"][0]["manifest"] = build([b"other"]).manifest.decode()

    def no_manifest(facts: dict[str, Any]) -> None:
        facts["stack"]["images"][0]["manifest"] = "{}"

    def bad_path(facts: dict[str, Any]) -> None:
        facts["stack"]["files"][0]["size"] += 1

    def no_stack(facts: dict[str, Any]) -> None:
        del facts["stack"]

    def old_format(facts: dict[str, Any]) -> None:
        facts["format"] = 1

    assert "of an image is not in it" in spoil(other_manifest)
    assert "names no config and layers" in spoil(no_manifest)
    assert "of an image is not in it" in spoil(bad_path)
    assert spoil(no_stack)
    assert "$.format" in spoil(old_format)


def test_sideload_says_that_there_is_no_model(
    saved: Path, tmp_path: Path, waybill: Waybill
) -> None:
    store = tmp_path / "store"
    assert waybill("store", "init", f"file://{store}").code == 0
    ran = waybill("sideload", saved, "--to", f"file://{store}")
    assert (ran.code, "images push" in ran.err) == (2, True)


def test_inspect_and_list_show_the_images(both: Path, waybill: Waybill) -> None:
    for command in (("inspect",), ("images", "list")):
        ran = waybill(*command, both)
        assert ran.code == 0, ran.err
        assert HUB in ran.out
        told = waybill(*command, both, "--json").result["images"]
        assert {one["digest"] for one in told} == {one.digest for one in IMAGES.values()}
    assert waybill("images", "list", both.parent / "model").code == 2
