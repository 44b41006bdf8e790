"""The list of a bundle as a file of its own, signed: openssl alone says whether it is that list."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.pages import DOCS, blocks
from tests.unit.cli.conftest import Waybill
from tests.unit.images.test_bom import save
from tests.unit.images.test_save import trusting
from tests.unit.sign.making import (
    KINDS,
    Authority,
    certificate_pem,
    ed25519_key,
    p256_key,
    policy_file,
    public_pem,
    write_key,
)

LIST = "packages.cdx.json"


@pytest.fixture
def bundle(waybill: Waybill, tmp_path: Path) -> Path:
    return save(waybill, tmp_path / "bundle")


def openssl(folder: Path, *words: str) -> bool:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def verified(folder: Path, *key: str) -> bool:
    files = ("-rawin", "-in", LIST, "-sigfile", f"{LIST}.sig")
    return openssl(folder, "pkeyutl", "-verify", *(key or ("-pubin", "-inkey", "key.pub")), *files)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packages", [(), ("--packages",)])
def test_openssl_alone_checks_it(
    kind: str, packages: tuple[str, ...], waybill: Waybill, bundle: Path, tmp_path: Path
) -> None:
    key = KINDS[kind]()
    (tmp_path / "key.pub").write_text(public_pem(key))
    pem = write_key(tmp_path / "key.pem", key)
    arguments = ("images", "bom", bundle, *packages, "--json", "--out", tmp_path / LIST)
    ran = waybill(*arguments, "--key", pem)
    assert ran.result["signature"] == f"{tmp_path / LIST}.sig"
    assert verified(tmp_path)
    plain = waybill(*arguments)
    assert plain.result == {**ran.result, "signature": None}
    assert verified(tmp_path), "the same list has the same signature"
    (tmp_path / LIST).write_bytes((tmp_path / LIST).read_bytes().replace(b"1.0", b"1.1", 1))
    assert not verified(tmp_path)


def test_the_lines_of_the_page_do_it(waybill: Waybill, tmp_path: Path) -> None:
    key, policy = ed25519_key(), tmp_path / "values/trust/room.yaml"
    signed = save(waybill, tmp_path / "bundle", "--key", write_key(tmp_path / "release.pem", key))
    (tmp_path / "release.pub").write_text(public_pem(key))
    policy.parent.mkdir(parents=True)
    policy_file(policy, **trusting(public_pem(key)))
    (block,) = (
        text
        for text in blocks((DOCS / "images.md").read_text(), "The list of all", ("",))
        if "--key" in text
    )
    (made, check) = map(shlex.split, block.splitlines())
    here = {"bundle": signed, "values/trust/room.yaml": policy, "release.pem": tmp_path / made[-1]}
    here[LIST] = tmp_path / LIST
    assert waybill(*[here.get(word, word) for word in made[1:]]).code == 0
    assert openssl(tmp_path, *check[1:])


def test_a_certificate_lies_beside_it(waybill: Waybill, bundle: Path, tmp_path: Path) -> None:
    root, key = Authority("Root"), p256_key()
    chain = tmp_path / "chain.pem"
    chain.write_text(certificate_pem(root.issue(key, "release")))
    (tmp_path / "CA.pem").write_text(certificate_pem(root.certificate))
    arguments = ("images", "bom", bundle, "--out", tmp_path / LIST, "--key")
    ran = waybill(*arguments, write_key(tmp_path / "key.pem", key), "--certificate", chain)
    assert ran.code == 0, ran.err
    crt = f"{LIST}.crt"
    asked = ("-CAfile", "CA.pem", "-purpose", "any", "-untrusted", crt, crt)
    assert openssl(tmp_path, "verify", *asked)
    assert verified(tmp_path, "-certin", "-inkey", crt)
    other = write_key(tmp_path / "other.pem", ed25519_key())
    assert waybill(*arguments, other).code == 0
    assert not (tmp_path / crt).exists(), "it would speak for another key"


def test_nothing_is_signed_that_is_not_written(
    waybill: Waybill, bundle: Path, tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key.pem", ed25519_key())
    ran = waybill("images", "bom", bundle, "--key", key)
    assert (ran.code, "--out FILE" in ran.err) == (2, True)
    out = tmp_path / "there.json"
    (tmp_path / "there.json.sig").mkdir()
    ran = waybill("images", "bom", bundle, "--key", key, "--out", out)
    assert (ran.code, "cannot be written" in ran.err) == (1, True)
    assert not out.exists()
