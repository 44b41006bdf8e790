"""The guide that promises runnable commands: they are run, in its order, in one shell."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pages import DOCS, REPO, blocks
from tests.services import free_port, needs


@pytest.mark.timeout(600)
def test_getting_started_works_as_written(tmp_path: Path) -> None:
    needs("WAYBILL_TEST_MODEL")
    needs("WAYBILL_TEST_VLLM")
    page = (DOCS / "getting-started.md").read_text()
    script = "\n".join(["set -euo pipefail", *blocks(page)])
    for port in ("8080", "8000", "9000"):
        script = re.sub(rf"\b{port}\b", str(free_port()), script)
    cache = os.environ.get("WAYBILL_CACHE") or str(Path.home() / ".cache/waybill")
    settings = {
        "HOME": str(tmp_path),
        "WAYBILL_CACHE": cache,
        "WAYBILL_MINIO": needs("WAYBILL_TEST_MINIO"),
    }
    # Credentials that another test's server needs would go before the guide's own profile.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (tmp_path / "said").open("w+") as said:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=REPO,
            env={**clean, **settings},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(400)
        finally:
            # Servers that a failed block has left behind are of the same group.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        said.seek(0)
        told = said.read()
    assert code == 0, told
    assert '"object":"embedding"' in told
    assert "behind dev" in told
    assert told.count("sent 1 of 13 blobs") == 2
    assert "refused with exit code 3" in told
    assert "HTTP/1.1 302 Found" in told
