"""Servers and networks that fail all the time: sideload, promotion, sync and pull end well."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import (
    BROKEN,
    CONNECTIONS,
    SLOW,
    SLOW_DOWN,
    Faults,
    faulty,
)
from tests.integration.faults.conftest import FILES, PIN, Field, assert_loaded
from tests.services import Minio
from tests.unit.bundle.bundles import REPO, sound
from waybill.store.connect import connect

STORMS = {
    "answers": (0.2, (SLOW_DOWN, BROKEN)),
    "connections": (0.15, CONNECTIONS),
    "all": (0.15, (SLOW_DOWN, BROKEN, *CONNECTIONS, *SLOW)),
}


@pytest.fixture
def proxy(minio: Minio) -> Iterator[Faults]:
    with faulty(minio.endpoint) as faults:
        yield faults


@pytest.mark.parametrize("kind", STORMS)
def test_all_ends_well(kind: str, field: Field, proxy: Faults, bundle: Path) -> None:
    proxy.storm(len(kind), *STORMS[kind])
    field.place(endpoint=proxy.endpoint)
    field.run("sideload", bundle, "--to", "dev")
    commit = field.store("dev").resolve(REPO, "main")
    field.run("pin", "dev", "chat", f"{REPO}@{commit}")
    field.run("promote", "--from", "dev", "--to", "test")
    field.run("store", "init", field.project / "kept")
    field.run("sync", "dev", (field.project / "kept").as_uri())
    out = field.project / "out"
    field.run("pull", REPO, "--from", "dev", "--out", out)
    assert sum(proxy.done.values()) > 10, proxy.done
    assert_loaded(field.store("dev"))
    assert_loaded(field.store("test"), PIN)
    assert sound(connect(str(field.project / "kept")))
    assert {path: (out / path).read_bytes() for path in FILES} == FILES
    assert field.unfinished("dev") == field.unfinished("test") == []
