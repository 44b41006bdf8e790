"""The helpers that start real servers, and the rule that in CI nothing is skipped."""

import sys
from pathlib import Path

import httpx
import pytest

from tests import services

pytest_plugins = ["pytester"]


def serve(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]


def test_a_server_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    port = services.free_port()
    url = f"http://127.0.0.1:{port}/"
    with services.running(serve(port), {}, tmp_path / "log", url, 20) as server:
        assert httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    assert server.poll() is not None


def test_a_server_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such disk')"]
    with (
        pytest.raises(services.NotReady, match=r"(?s)ended.*no such disk"),
        services.running(command, {}, tmp_path / "log", "http://127.0.0.1:9/", 20),
    ):
        pass


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(services.NotReady, match="was not ready after 0 s"),
        services.running(command, {}, tmp_path / "log", "http://127.0.0.1:9/", 0.2),
    ):
        pass


def test_what_is_missing_skips_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WAYBILL_TEST_MINIO", raising=False)
    monkeypatch.delenv("WAYBILL_TEST_NO_SKIP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ci/tools minio"):
        services.needs("WAYBILL_TEST_MINIO")


def test_what_is_missing_fails_where_nothing_may_be_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WAYBILL_TEST_MINIO", raising=False)
    monkeypatch.setenv("WAYBILL_TEST_NO_SKIP", "1")
    with pytest.raises(pytest.fail.Exception, match="ci/tools minio"):
        services.needs("WAYBILL_TEST_MINIO")


@pytest.mark.parametrize(
    ("no_skip", "body", "forbidden"),
    [
        ("1", "import pytest; pytest.skip('no')", True),
        ("1", "import pytest; pytest.xfail('no')", True),
        ("1", "pass", False),
        ("", "import pytest; pytest.skip('no')", False),
    ],
)
def test_a_run_with_a_skip_fails_where_none_is_allowed(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    no_skip: str,
    body: str,
    forbidden: bool,
) -> None:
    monkeypatch.setenv("WAYBILL_TEST_NO_SKIP", no_skip)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(Path(services.__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(f"def test_it():\n    {body}\n")
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert run.ret == (1 if forbidden else 0)
    assert ("WAYBILL_TEST_NO_SKIP allows none" in run.stdout.str()) == forbidden
