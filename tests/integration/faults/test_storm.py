"""Servers that fail all the time, or are away for a while: whatever goes to them ends well."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.faults import BROKEN, CONNECTIONS, SLOW, SLOW_DOWN, STALL, Faults, faulty
from tests.integration.conftest import client_of
from tests.integration.faults.commands import NO_TROUBLE, PIECE, Starter, Trouble
from tests.integration.faults.conftest import (
    FILES,
    PIN,
    Field,
    assert_loaded,
    keys_of,
    new_field,
    wait_for,
)
from tests.services import Minio, minio_server, needs
from tests.unit.bundle.bundles import REPO, sound
from waybill.store.connect import connect

STORMS = {
    "answers": (0.1, (SLOW_DOWN, BROKEN)),
    "connections": (0.12, CONNECTIONS),
    "all": (0.12, (SLOW_DOWN, BROKEN, *CONNECTIONS, *SLOW)),
    "no answer": (0.05, (STALL,)),
}
IMPATIENT = Trouble(answer=1.0)
"""What stalls is asked again before it is done, and is done all the same, later than that."""


@pytest.fixture
def proxy(minio: Minio) -> Iterator[Faults]:
    with faulty(minio.endpoint) as faults:
        yield faults


@pytest.mark.parametrize("kind", STORMS)
def test_all_ends_well(kind: str, field: Field, proxy: Faults, bundle: Path) -> None:
    trouble = NO_TROUBLE
    if kind == "no answer":
        trouble, proxy.pause = IMPATIENT, 1.5
    run = partial(field.run, trouble=trouble)
    proxy.storm(len(kind), *STORMS[kind])
    field.place(endpoint=proxy.endpoint)
    run("sideload", bundle, "--to", "dev")
    commit = field.store("dev").resolve(REPO, "main")
    run("pin", "dev", "chat", f"{REPO}@{commit}")
    run("promote", "--from", "dev", "--to", "test")
    field.run("store", "init", field.project / "kept")
    run("sync", "dev", (field.project / "kept").as_uri())
    out = field.project / "out"
    run("pull", REPO, "--from", "dev", "--out", out)
    assert sum(proxy.done.values()) >= 8, proxy.done
    assert_loaded(field.store("dev"))
    assert_loaded(field.store("test"), PIN)
    assert sound(connect(str(field.project / "kept")))
    assert {path: (out / path).read_bytes() for path in FILES} == FILES
    assert field.unfinished("dev") == field.unfinished("test") == []


def test_a_server_that_is_started_again_in_the_middle(bundle: Path, tmp_path: Path) -> None:
    """It is away for longer than botocore would ask."""
    program, folder = needs("WAYBILL_TEST_MINIO"), tmp_path / "minio"
    folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(minio_server(program, folder))
        starter = Starter(tmp_path / "said", keys_of(server))
        client = stack.enter_context(client_of(server))
        field = new_field(tmp_path / "project", server, client, starter)
        command = field.start("sideload", bundle, "--to", "dev", "--limit-rate", "4MB")
        wait_for(lambda: field.there("dev") >= PIECE, command)
        stack.pop_all().close()
        time.sleep(3)
        stack.enter_context(minio_server(program, folder, again=server))
        assert command.end() == 0, command.said
        assert_loaded(field.store("dev"))
        assert field.unfinished("dev") == []
