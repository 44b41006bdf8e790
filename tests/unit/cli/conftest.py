"""The command line in this process, over a small bundle and a directory store."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed, result
from tests.unit.bundle.bundles import FILES, small_bundle, small_pieces, write
from waybill.cli.main import main

MODEL = {**FILES, "pytorch_model.bin": b"pickle"}


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        return result(self.out)


Waybill = Callable[..., Ran]


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_pieces():
        yield


@pytest.fixture
def waybill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Waybill:
    monkeypatch.delenv("AWS_PROFILE", raising=False)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        told = capsys.readouterr()
        if "--json" in arguments:
            printed(told.out)
        return Ran(code, told.out, told.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", MODEL)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("packed"), MODEL)


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    """A copy for each test to spoil."""
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


@pytest.fixture
def store(waybill: Waybill, tmp_path: Path) -> Path:
    assert waybill("store", "init", tmp_path / "store").code == 0
    return tmp_path / "store"
