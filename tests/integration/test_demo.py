"""ci/demo, as a newcomer runs it: whole, again, stopped in the middle, with each kind of store."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services import Minio, needs

REPO = Path(__file__).resolve().parents[2]
INTERRUPTED = 130

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    needs("WAYBILL_TEST_MODEL")
    return tmp_path / "demo"


@pytest.fixture(autouse=True)
def clone_stays_as_it_is() -> Iterator[None]:
    before = _values()
    yield
    assert _values() == before


def _values() -> dict[str, bytes]:
    files = [path for path in (REPO / "values").rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


def _start(folder: Path, *options: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [REPO / "ci/demo", *options],
        env={**os.environ, "WAYBILL_DEMO_DIR": str(folder), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _run(folder: Path, *options: str, **env: str) -> str:
    """What a whole run says; nothing of it is left running."""
    with _start(folder, *options, **env) as demo:
        said, _ = demo.communicate()
    assert demo.returncode == 0, said
    assert _running_in(folder) == []
    return said


def _running_in(folder: Path) -> list[str]:
    """Programs whose working directory is below the folder: all that a demo starts."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def _left_in(folder: Path, seconds: float) -> list[str]:
    """Those that run still after so long."""
    deadline = time.monotonic() + seconds
    while (found := _running_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _table(said: str) -> dict[str, str]:
    """Step -> what, of the table at the end."""
    rows = said[said.index("STEP  ") :].split("\n\n")[0].splitlines()[1:]
    cells = [re.split(r"  +", row) for row in rows]
    return {step: what for step, what, _ in cells}


def test_a_second_run_says_what_it_has(folder: Path) -> None:
    first = _table(_run(folder, "--no-engine"))
    assert first["Pack the model into a bundle"] == "13 files, 91.6 MB, in 2 parts"
    assert first["Sideload the bundle into dev"] == "all files sent and checked"
    assert first["Pin the revision in dev"] == "only pins/dev.yaml changed"
    assert first["Download from the model hub"] == "13 files fetched, byte for byte the source"
    promoted = "only pins/test.yaml changed, only pins/prod.yaml changed"
    assert first["Promote dev → test → prod"] == promoted

    again = _table(_run(folder, "--no-engine"))
    assert again["Pack the model into a bundle"].startswith("packed before: ")
    assert again["Sideload the bundle into dev"] == "all files were there"
    assert again["Pin the revision in dev"] == "dev stood there"
    assert again["Download from the model hub"] == "all files were there, byte for byte the source"
    assert again["Promote dev → test → prod"] == "test stood there, prod stood there"


def test_an_own_minio_keeps_its_secrets(folder: Path) -> None:
    own = {"WAYBILL_MINIO": needs("WAYBILL_TEST_MINIO")}
    said = _run(folder, "--store", "s3", "--no-engine", **own)
    assert said.count("with conditional writes") == 3
    assert _table(said)["Sideload the bundle into dev"] == "all files sent and checked"

    credentials = folder / "s3/aws-credentials"
    assert credentials.stat().st_mode & 0o777 == 0o600
    secret = credentials.read_text().split()[-1]
    told = [said, *(log.read_text() for log in (folder / "s3/logs").iterdir())]
    told += [path.read_text() for path in (folder / "s3/values").rglob("*.yaml")]
    assert not [text for text in told if secret in text]

    again = _table(_run(folder, "--store", "s3", "--no-engine", **own))
    assert again["Sideload the bundle into dev"] == "all files were there"
    assert again["Promote dev → test → prod"] == "test stood there, prod stood there"


def test_a_server_that_runs_already(folder: Path, minio: Minio) -> None:
    settings = {
        "WAYBILL_DEMO_S3": minio.endpoint,
        "AWS_ACCESS_KEY_ID": minio.access_key,
        "AWS_SECRET_ACCESS_KEY": minio.secret_key,
    }
    said = _run(folder, "--store", "s3", "--no-engine", **settings)
    assert "bucket waybill-demo-dev: made" in said
    assert "in dev, test, prod" in _table(said)["See what runs where"]


def test_a_real_engine_loads_from_the_hub(folder: Path) -> None:
    needs("WAYBILL_TEST_VLLM")
    table = _table(_run(folder))
    fetched = re.fullmatch(
        r"(\d+) files fetched, its answers make sense", table["Load it into vLLM and ask"]
    )
    assert fetched
    assert int(fetched[1]) > 5


def _group(demo: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches every program of the terminal."""
    os.killpg(demo.pid, signal.SIGINT)


def _alone(demo: subprocess.Popen[str]) -> None:
    demo.send_signal(signal.SIGTERM)


def _until(demo: subprocess.Popen[str], line: str) -> None:
    assert demo.stdout
    seen = []
    for said in demo.stdout:
        seen.append(said)
        if line in said:
            return
    pytest.fail(f"{line} did not come:\n{''.join(seen)}")


def test_stopped_at_any_moment_it_goes_on(folder: Path) -> None:
    moments: list[tuple[str, float, Callable[[subprocess.Popen[str]], None]]] = [
        ("$ waybill pack", 0.7, _group),
        ("$ waybill sideload", 0.6, _alone),
        ("$ waybill pin", 0.5, _group),
        ("$ waybill hub", 0.3, _group),
        ("hf download", 0.6, _alone),
        ("--to test", 0.6, _group),
        ("--to prod", 0.5, _alone),
    ]
    for line, seconds, stop in moments:
        with _start(folder, "--no-engine") as demo:
            _until(demo, line)
            time.sleep(seconds)
            stop(demo)
            said, _ = demo.communicate()
        assert demo.returncode == INTERRUPTED, f"{line}: {said}"
        assert "interrupted; run ci/demo again, it goes on" in said
        assert "Traceback" not in said
        # What was just being started dies of our end, a moment after it.
        assert _left_in(folder, 10) == []
    assert "in dev, test, prod" in _table(_run(folder, "--no-engine"))["See what runs where"]


def test_killed_it_leaves_no_server(folder: Path) -> None:
    own = {"WAYBILL_MINIO": needs("WAYBILL_TEST_MINIO")}
    with _start(folder, "--store", "s3", "--no-engine", **own) as demo:
        _until(demo, "hf download")
        demo.kill()
    assert _left_in(folder, 40) == []
    _run(folder, "--store", "s3", "--no-engine", **own)


def test_it_says_what_is_wrong_and_what_to_do(folder: Path) -> None:
    with _start(folder, "--no-engine") as demo:
        _until(demo, "$ waybill sideload")
        with _start(folder, "--no-engine") as other:
            said, _ = other.communicate()
        assert other.returncode == 1
        assert f"error: another demo is at work in {folder}/directory\nhint: wait for it" in said
        demo.communicate()

    part = folder / "directory/bundle/part-00002.tar"
    with part.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"flipped")
    with _start(folder, "--no-engine") as demo:
        said, _ = demo.communicate()
    assert demo.returncode == 1
    assert "part-00002.tar" in said
    assert "error: `waybill verify` failed with exit code 4\nhint: " in said

    inside = REPO / "values/demo"
    with _start(inside, "--no-engine") as demo:
        said, _ = demo.communicate()
    assert demo.returncode == 1
    assert "is inside the clone, which the demo leaves alone" in said
    assert not inside.exists()
