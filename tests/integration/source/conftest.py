"""A model's files, a command that packs them, and credentials that are nobody's."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from tests.integration.bundle.conftest import Process
from tests.store_contents import noise
from waybill.bundle.media import Bundle
from waybill.digest import PIECE
from waybill.source import streams
from waybill.source.base import Source

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Demo\n",
    "config.json": b"{}\n",
    "empty.txt": b"",
    "model.safetensors": noise(5_000_000, 7),
    "1_Pooling/na\u00efve name.txt": b"accents and a space\n",
}
PART_SIZE = PIECE + 1_000_000

Pack = Callable[..., Bundle]


def write(folder: Path) -> Path:
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model")


@pytest.fixture
def sums(model: Path) -> Path:
    """The model with a SHA256SUMS of all its files."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  ./{path}" for path, data in FILES.items()]
    (model / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    return model


@pytest.fixture
def default_client() -> Iterator[None]:
    """What one source trusts, the client library trusts for the whole process."""
    yield
    set_client_factory(default_client_factory)


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of who runs the tests, for this process and those it starts; and no long pauses."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(streams, "ASKING", (0.01,) * len(streams.ASKING))
    monkeypatch.setattr(streams, "READING", (0.01,) * len(streams.READING))
    for name in ("WAYBILL_HTTP_TOKEN", "NETRC", "DOCKER_CONFIG", "WAYBILL_SOURCE_ROOTS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """`waybill pack` as a process of its own; the bundle that it made."""

    def run(*arguments: object, out: str = "out") -> Bundle:
        Process(("pack", *arguments, "--out", tmp_path / out, "--quiet")).run()
        return Bundle.open([tmp_path / out])

    return run


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The same that fails: the exit code, and what was said."""

    def run(*arguments: object) -> tuple[int, str]:
        command = Process(("pack", *arguments, "--out", tmp_path / "refused", "--quiet"))
        with command.start() as process:
            _, err = process.communicate()
        assert "Traceback" not in err
        return process.returncode, err

    return run


def contents(source: Source) -> dict[str, bytes]:
    """Every file, read whole, and from the middle too."""
    found = {}
    for file in source.files():
        with source.open(file) as stream:
            found[file.path] = stream.read()
        with source.open(file, file.size // 2) as stream:
            assert stream.read() == found[file.path][file.size // 2 :]
        assert len(found[file.path]) == file.size
        assert source.is_unchanged(file)
        assert not source.holds(Path.cwd())
    return found


def packed_from_directory(pack: Pack, model: Path, *options: object) -> str:
    """The commit that the same files have when they come from a directory."""
    bundle = pack(model, "--as", "acme/demo", *options, out="from-directory")
    return bundle.index.revisions[0].manifest.commit
