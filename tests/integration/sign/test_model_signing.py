"""model.sig, judged by the reference implementation of OpenSSF Model Signing."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.sign.making import (
    Authority,
    certificate_pem,
    certified,
    p256_key,
    public_pem,
    write_key,
)
from waybill.cli.main import main

FILES = {
    "config.json": b"{}",
    "deep/er/vocab.txt": b"one\ntwo\n",
    "deep.txt": b"sorts before the folder by its letters, and after it by its path",
    "model.safetensors": bytes(range(256)) * 400,
    ".cache/waybill/left-over": b"not signed",
}


def believed(model: Path, how: str, flag: str, file: Path) -> bool:
    """What `model_signing verify` says of the directory and its model.sig."""
    program = Path(sys.executable).with_name("model_signing")
    options = ["--signature", str(model / "model.sig"), flag, str(file)]
    command = [str(program), "verify", how, str(model), *options]
    told = subprocess.run(command, capture_output=True, text=True)
    assert ("succeeded" in told.stdout) == (told.returncode == 0), told.stderr
    return told.returncode == 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def _flip(model: Path) -> None:
    data = bytearray((model / "model.safetensors").read_bytes())
    data[1000] ^= 1
    (model / "model.safetensors").write_bytes(data)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": _flip,
    "a file more": lambda model: (model / "more.py").write_text("import os"),
    "a file less": lambda model: (model / "config.json").unlink(),
}


def test_a_key_s_signature_is_believed_and_no_change_is(model: Path, tmp_path: Path) -> None:
    key, public = p256_key(), tmp_path / "key.pub"
    assert main(["sign", str(model), "--key", str(write_key(tmp_path / "key.pem", key))]) == 0
    public.write_text(public_pem(key))
    assert believed(model, "key", "--public_key", public)
    other = tmp_path / "other.pub"
    other.write_text(public_pem(p256_key()))
    assert not believed(model, "key", "--public_key", other)
    for name, change in CHANGES.items():
        copy = Path(shutil.copytree(model, tmp_path / name))
        change(copy)
        assert not believed(copy, "key", "--public_key", public), name


def test_a_certificate_s_signature_is_believed(model: Path, tmp_path: Path) -> None:
    authority = Authority()
    made = certified(authority)
    key, chain = write_key(tmp_path / "key.pem", made.private), tmp_path / "chain.pem"
    chain.write_text(certificate_pem(*made.chain))
    assert main(["sign", str(model), "--key", str(key), "--certificate", str(chain)]) == 0
    root = tmp_path / "root.pem"
    root.write_text(certificate_pem(authority.certificate))
    assert believed(model, "certificate", "--certificate_chain", root)
    root.write_text(certificate_pem(Authority().certificate))
    assert not believed(model, "certificate", "--certificate_chain", root)
