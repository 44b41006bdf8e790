"""Private keys as people keep them, and signatures that openssl agrees with."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.unit.sign.making import KINDS, Authority, certificate_pem, public_pem, signer, write_key
from waybill.errors import BadKey
from waybill.sign import keys
from waybill.sign.keys import PASSPHRASE, Signer

DATA = b'{"format":1}'


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_alone_checks_a_signature(kind: str, tmp_path: Path) -> None:
    made = signer(kind)
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "sig").write_bytes(made.sign(DATA))
    (tmp_path / "key.pem").write_text(public_pem(made.private))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]
    told = subprocess.run(
        [*command, "-in", "data", "-sigfile", "sig"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout.strip()) == (0, "Signature Verified Successfully")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_are_signed_the_same(kind: str) -> None:
    made = signer(kind)
    assert made.sign(DATA) == made.sign(DATA) != made.sign(b"else")


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_of_its_key_and_its_bytes_alone(kind: str) -> None:
    made, value = signer(kind), signer(kind).sign(DATA)
    right = made.sign(DATA)
    assert keys.is_right(made.public, right, DATA)
    assert not keys.is_right(made.public, right, DATA + b" ")
    assert not keys.is_right(made.public, value, DATA)
    for wrong in (b"", b"junk", right[:-1], right + b"x"):
        assert not keys.is_right(made.public, wrong, DATA)


def test_the_key_id_is_what_openssl_says(tmp_path: Path) -> None:
    made = signer("p256")
    (tmp_path / "key.pem").write_text(public_pem(made.private))
    command = "openssl pkey -pubin -in key.pem -outform DER | openssl dgst -sha256 -r"
    told = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout.split()[0] == made.key_id


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_read_with_its_passphrase(kind: str, tmp_path: Path) -> None:
    key = KINDS[kind]()
    path = write_key(tmp_path / "key.pem", key, b"a secret")
    (tmp_path / "pass").write_text("a secret\n")
    for environ in ({PASSPHRASE: "a secret"}, {f"{PASSPHRASE}_FILE": str(tmp_path / "pass")}):
        assert Signer.load(path, environ=environ).key_id == keys.key_id(key.public_key())
    open_key = write_key(tmp_path / "open.pem", key)
    assert Signer.load(open_key, environ={PASSPHRASE: "of another"}).notes == ()


def test_what_others_may_read_is_told(tmp_path: Path) -> None:
    path = write_key(tmp_path / "key.pem", KINDS["ed25519"]())
    path.chmod(0o640)
    (note,) = Signer.load(path, environ={}).notes
    assert note == f"{path} can be read by others: chmod 600 {path}"


def test_a_key_that_cannot_sign_is_refused_by_a_sentence(tmp_path: Path) -> None:
    def refusal(path: Path, environ: dict[str, str] | None = None) -> str:
        with pytest.raises(BadKey) as caught:
            Signer.load(path, environ=environ or {})
        return str(caught.value)

    locked = write_key(tmp_path / "locked.pem", KINDS["ed25519"](), b"a secret")
    assert "it needs a passphrase, in WAYBILL_KEY_PASSPHRASE or" in refusal(locked)
    told = refusal(locked, {PASSPHRASE: "another"})
    assert "the passphrase is not the right one" in told
    assert "another" not in told.replace("not the right one", "")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "not an Ed25519 or ECDSA P-256 key" in refusal(write_key(tmp_path / "rsa.pem", other))
    curve = ec.generate_private_key(ec.SECP384R1())
    assert "not an Ed25519 or ECDSA P-256 key" in refusal(write_key(tmp_path / "384.pem", curve))
    (tmp_path / "junk.pem").write_text("junk")
    assert "in PEM" in refusal(tmp_path / "junk.pem")
    assert "No such file" in refusal(tmp_path / "none.pem")


def test_a_certificate_must_be_the_key_s_own(tmp_path: Path) -> None:
    authority, key = Authority(), KINDS["p256"]()
    path = write_key(tmp_path / "key.pem", key)
    chain = tmp_path / "chain.pem"
    chain.write_text(certificate_pem(authority.issue(key, "me"), authority.certificate))
    assert len(Signer.load(path, chain, {}).chain) == 2
    chain.write_text(certificate_pem(authority.certificate))
    with pytest.raises(BadKey, match="is not its own"):
        Signer.load(path, chain, {})
    chain.write_text("junk")
    with pytest.raises(BadKey, match="not a certificate in PEM"):
        Signer.load(path, chain, {})
