"""sign, pack --key, verify and sideload --trust as people and scripts see them."""

import json
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import REPO
from tests.unit.cli.conftest import Waybill
from tests.unit.sign.making import KINDS, asking, policy_file, write_key
from waybill.manifest import STATEMENT_TYPE
from waybill.sign import oms
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.keys import PASSPHRASE, Signer
from waybill.store.connect import connect

SECRET = "open sesame"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "key.pem", KINDS["ed25519"]())


@pytest.fixture
def trust(key: Path, tmp_path: Path) -> Path:
    """A policy that asks for signatures of `key`."""
    return asking(tmp_path / "trust.yaml", Signer.load(key))


def pack(waybill: Waybill, model: Path, out: Path, *more: object) -> dict[str, object]:
    command = ["pack", model, "--as", "Acme/Demo", "--out", out, "--part-size", "12288"]
    ran = waybill(*command, *more, "--json")
    assert ran.code == 0, ran.err
    return ran.result


def test_a_signed_bundle_is_verified_and_sideloaded(
    waybill: Waybill, model: Path, key: Path, trust: Path, store: Path, tmp_path: Path
) -> None:
    made = pack(waybill, model, tmp_path / "out", "--key", key)
    key_id = Signer.load(key).key_id
    assert made["keyId"] == key_id
    shown = waybill("inspect", tmp_path / "out").out
    assert f"signed by key {key_id[:16]} (verify --trust says whether it is true)" in shown
    assert "bundle.json is signed by a key that is not named (verify --trust" in shown
    told = waybill("inspect", tmp_path / "out", "--json").result
    assert told["revisions"][0]["signers"] == [f"key {key_id[:16]}"]
    assert told["sealedBy"] == ["a key that is not named"]
    assert waybill("verify", tmp_path / "out", "--trust", trust).code == 0
    assert waybill("sideload", tmp_path / "out", "--to", store, "--trust", trust).code == 0
    ran = waybill("verify", "--store", store, "--trust", trust)
    assert (ran.code, ran.out.endswith("0 wrong, 0 not trusted\n")) == (0, True)


def test_a_certificate_that_is_damaged_keeps_nobody_from_looking_into_the_bundle(
    waybill: Waybill, model: Path, key: Path, tmp_path: Path
) -> None:
    pack(waybill, model, tmp_path / "out", "--key", key)
    (tmp_path / "out" / "bundle.crt").write_text("garbage")
    ran = waybill("inspect", tmp_path / "out")
    assert (ran.code, "signed by somebody who cannot be told: " in ran.out) == (0, True)


@pytest.mark.parametrize("depth", [985, 990, 992, 994, 2000])
def test_a_statement_that_is_nested_too_deeply_is_refused_by_a_sentence(
    waybill: Waybill, bundle: Path, key: Path, store: Path, tmp_path: Path, depth: int
) -> None:
    assert waybill("sideload", bundle, "--to", store).code == 0
    path = tmp_path / "deep.json"
    path.write_text("[" * depth + "]" * depth)
    more = [
        "--repo",
        "Acme/Demo",
        "--statement",
        path,
        "--predicate-type",
        "https://acme.example/x",
    ]
    ran = waybill("sign", store, "--key", key, *more)
    assert (ran.code, f"error: {path} cannot be used: it is no JSON" in ran.err) == (2, True)


def test_what_nobody_trusts_is_refused_with_exit_code_3(
    waybill: Waybill, bundle: Path, trust: Path, store: Path
) -> None:
    ran = waybill("sideload", bundle, "--to", store, "--trust", trust)
    assert ran.code == 3
    assert "is not signed, and " in ran.err
    assert waybill("sideload", bundle, "--to", store, "--trust", trust, "--dry-run").code == 3
    ran = waybill("verify", bundle, "--trust", trust, "--json")
    assert (ran.code, ran.result["good"], len(ran.result["untrusted"])) == (3, 3, 1)
    assert waybill("sideload", bundle, "--to", store).code == 0
    ran = waybill("verify", "--store", store, "--trust", trust)
    assert (ran.code, "1 not trusted" in ran.out) == (3, True)


def test_a_revision_is_signed_where_it_lies(
    waybill: Waybill, bundle: Path, key: Path, trust: Path, store: Path
) -> None:
    assert waybill("sideload", bundle, "--to", store).code == 0
    ran = waybill("sign", store, "--repo", "acme/demo", "--key", key, "--json")
    assert (ran.code, ran.result["keyId"]) == (0, Signer.load(key).key_id)
    assert waybill("verify", "--store", store, "--trust", trust).code == 0
    kept = connect(str(store)).referrers(REPO, str(ran.result["commit"]))
    again = waybill("sign", store, "--repo", f"acme/demo@{ran.result['commit']}", "--key", key)
    assert again.code == 0
    assert connect(str(store)).referrers(REPO, str(ran.result["commit"])) == kept


def test_a_statement_of_one_s_own_is_kept_as_it_is_and_signed(
    waybill: Waybill, bundle: Path, key: Path, store: Path, tmp_path: Path
) -> None:
    assert waybill("sideload", bundle, "--to", store).code == 0
    (tmp_path / "test.json").write_text('{"result": "PASSED"}')
    more = ["--statement", tmp_path / "test.json", "--predicate-type", "https://acme.example/test"]
    ran = waybill("sign", store, "--repo", "acme/demo", "--key", key, *more, "--json")
    assert ran.code == 0, ran.err
    place = connect(str(store))
    said = [
        (blob.media_type, json.loads(place.read(blob.digest)))
        for blob in place.referrers(REPO, str(ran.result["commit"]))
    ]
    statements = [one for kind, one in said if kind == STATEMENT_TYPE]
    (mine,) = [one for one in statements if one["predicateType"] == "https://acme.example/test"]
    assert mine["predicate"] == {"result": "PASSED"}
    assert [kind for kind, _ in said].count(ENVELOPE_TYPE) == 1


def test_an_environment_s_policy_holds_without_a_flag(
    waybill: Waybill, bundle: Path, trust: Path, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "values").mkdir()
    facts = {"environments": {"prod": {"store": str(store), "trust": str(trust)}}}
    (tmp_path / "values/environments.yaml").write_text(json.dumps(facts))
    ran = waybill("sideload", bundle, "--to", "prod", "--project", tmp_path)
    assert (ran.code, "is not signed" in ran.err) == (3, True)
    ran = waybill("verify", "--store", "prod", "--project", tmp_path)
    assert (ran.code, "0 revisions" in ran.out) == (0, True)
    assert waybill("sideload", bundle, "--to", store).code == 0
    assert waybill("verify", "--store", "prod", "--project", tmp_path).code == 3
    lax = policy_file(tmp_path / "lax.yaml", default={"unsigned": "allow"})
    ran = waybill("verify", "--store", "prod", "--project", tmp_path, "--trust", lax)
    assert ran.code == 0
    ran = waybill("sideload", bundle, "--to", "prod", "--project", tmp_path, "--trust", trust)
    assert (ran.code, "prod is an environment, and environments.yaml says it" in ran.err) == (
        2,
        True,
    )


def test_the_passphrase_is_never_shown(
    waybill: Waybill, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = write_key(tmp_path / "locked.pem", KINDS["p256"](), SECRET.encode())
    command = ["pack", model, "--as", "a/b", "--out", tmp_path / "out", "--key", locked]
    ran = waybill(*command)
    assert (ran.code, "it needs a passphrase" in ran.err) == (2, True)
    monkeypatch.setenv(PASSPHRASE, "wrong " + SECRET)
    ran = waybill(*command)
    assert (ran.code, "the passphrase is not the right one" in ran.err) == (2, True)
    assert SECRET not in ran.err + ran.out
    monkeypatch.setenv(PASSPHRASE, SECRET)
    ran = waybill(*command)
    assert (ran.code, SECRET in ran.err + ran.out) == (0, False)
    assert all(SECRET.encode() not in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_a_key_that_others_may_read_is_told(
    waybill: Waybill, model: Path, key: Path, tmp_path: Path
) -> None:
    key.chmod(0o644)
    ran = waybill("pack", model, "--as", "a/b", "--out", tmp_path / "out", "--key", key)
    assert f"warning: {key} can be read by others" in ran.err


WRONG = {
    "a certificate alone": (["pack", "MODEL", "--out", "OUT", "--certificate", "X"], "its --key"),
    "a statement of no kind": (
        ["sign", "STORE", "--key", "KEY", "--repo", "a/b", "--statement", "X"],
        "go together",
    ),
    "a statement of nothing": (
        ["sign", "STORE", "--key", "KEY", "--statement", "X", "--predicate-type", "Y"],
        "go together",
    ),
    "no such repo": (["sign", "STORE", "--key", "KEY", "--repo", "a/b"], "no repo a/b"),
    "no such statement": (
        ["sign", "FILLED", "--key", "KEY", "--repo", "acme/demo", "--statement", "X",
         "--predicate-type", "urn:y"],
        "it is no JSON",
    ),
    "a statement that would let a model in": (
        ["sign", "STORE", "--key", "KEY", "--repo", "a/b", "--statement", "X",
         "--predicate-type", "https://slsa.dev/provenance/v1"],
        "--predicate-type 'https://slsa.dev/provenance/v1' is not usable: statements of this kind",
    ),
    "a test that was not run": (
        ["sign", "STORE", "--key", "KEY", "--repo", "a/b", "--statement", "X",
         "--predicate-type", "https://in-toto.io/attestation/test-result/v0.1"],
        "statements of this kind are made by",
    ),
    "a license of one's own": (
        ["sign", "STORE", "--key", "KEY", "--repo", "a/b", "--statement", "X",
         "--predicate-type", "https://waybill.dev/license/v1"],
        "statements of this kind are made by",
    ),
    "a type that is no URI": (
        ["sign", "STORE", "--key", "KEY", "--repo", "a/b", "--statement", "X",
         "--predicate-type", "evaluation"],
        "--predicate-type 'evaluation' is not usable: it must be a URI",
    ),
    "Ed25519 for OMS": (["sign", "MODEL", "--key", "KEY"], "knows no Ed25519 keys"),
    "no such directory": (["sign", "./nowhere", "--key", "KEY"], "No such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_signed_is_told(
    what: str, waybill: Waybill, model: Path, key: Path, store: Path, bundle: Path, tmp_path: Path
) -> None:
    command, told = WRONG[what]
    if "FILLED" in command:
        assert waybill("sideload", bundle, "--to", store).code == 0
    names = {"MODEL": model, "OUT": tmp_path / "out", "KEY": key, "STORE": store, "FILLED": store}
    ran = waybill(*[names.get(word, word) for word in command])
    assert ran.code != 0
    assert told in ran.err


def test_links_are_not_signed(waybill: Waybill, model: Path, tmp_path: Path) -> None:
    key = write_key(tmp_path / "p256.pem", KINDS["p256"]())
    (model / "link.json").symlink_to("config.json")
    ran = waybill("sign", model, "--key", key)
    assert (ran.code, "link.json is a link" in ran.err) == (2, True)


def test_the_guide_names_all_that_is_not_signed() -> None:
    told = (Path(__file__).parents[3] / "tools/docs/signing.md").read_text()
    assert [
        name for name in oms.IGNORED if f"`{name}`" not in told.partition("at the top")[2]
    ] == []


def test_a_store_and_nothing_at_all_are_no_directories_to_sign(
    waybill: Waybill, store: Path, tmp_path: Path
) -> None:
    key = write_key(tmp_path / "p256.pem", KINDS["p256"]())
    (tmp_path / "empty").mkdir()
    for folder, told in (
        (store, "it is a store: --repo OWNER/NAME@REVISION says what to sign in it"),
        (tmp_path / "empty", "no file is in it"),
    ):
        ran = waybill("sign", folder, "--key", key)
        assert (ran.code, told in ran.err) == (2, True)
        assert not (folder / "model.sig").exists()
