"""SIGKILL at a hundred random moments: what is visible is right, and the rerun ends the same."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration.conftest import client_of
from tests.integration.faults.commands import Command
from tests.integration.faults.conftest import (
    MAIN,
    PIN,
    Field,
    assert_loaded,
    new_field,
    packing,
)
from tests.services import free_port, minio_server, needs
from tests.store_contract import keys_below
from tests.unit.bundle.bundles import REPO, of_bundle, sound
from waybill.store.audit import inventory
from waybill.store.connect import connect
from waybill.store.layout import Ref
from waybill.store.store import Store

SEED = 20261121
KILLS = {
    "pack": 20,
    "verify": 5,
    "sideload": 20,
    "promote": 15,
    "deploy": 10,
    "sync to a directory": 10,
    "sync within a server": 10,
    "sync to a server": 10,
}
"""A hundred together."""
State = dict[str, object]


@dataclass(frozen=True)
class Work:
    """A command that goes to a fresh place each round; what must hold there after a kill, and how
    the place looks to people when it is done."""

    prepare: Callable[[str], None]
    start: Callable[[str], Command]
    check: Callable[[str], None]
    state: Callable[[str], State]


def visible(store: Store, ref: Ref) -> State:
    """All that can be asked for. Records are dated, and one that was killed may have left its own
    without moving the ref: nothing names that."""
    assert sound(store)
    head = store.head(REPO, ref)
    assert head and len(list(store.history(REPO, ref))) == 1
    keys = {key for key in keys_below(store, "") if not key.startswith(("blobs/", "uploads/"))}
    found = inventory(store)
    return {"keys": keys, "blobs": set(found.blobs), "commit": head.commit}


def whole_or_nothing(store: Store, ref: Ref) -> None:
    """A killed command has moved its ref or has not; nothing in between is to be seen."""
    assert sound(store)
    if store.head(REPO, ref):
        assert_loaded(store, ref)


def packs(field: Field, model: Path) -> Work:
    def out(name: str) -> Path:
        return field.project / name

    def check(name: str) -> None:
        if (out(name) / "bundle.json").exists():
            field.run("verify", out(name))

    return Work(
        lambda _: None,
        lambda name: field.start(*packing(model, out(name))),
        check,
        lambda name: dict(of_bundle(out(name))),
    )


def verifies(field: Field, bundle: Path) -> Work:
    untouched = of_bundle(bundle)

    def check(_: str) -> None:
        assert of_bundle(bundle) == untouched

    return Work(
        lambda _: None,
        lambda _: field.start("verify", bundle),
        check,
        lambda _: dict(of_bundle(bundle)),
    )


def sideloads(field: Field, bundle: Path) -> Work:
    def prepare(name: str) -> None:
        field.new(name)
        field.place(dev=name)

    return Work(
        prepare,
        lambda _: field.start("sideload", bundle, "--to", "dev"),
        lambda name: whole_or_nothing(field.store(name), MAIN),
        lambda name: visible(field.store(name), MAIN) | {"left": len(field.unfinished(name))},
    )


def promotes(field: Field, bundle: Path) -> Work:
    field.run("sideload", bundle, "--to", "dev")
    commit = field.store("dev").resolve(REPO, "main")
    field.run("pin", "dev", "chat", f"{REPO}@{commit}")
    pins = field.project / "values/pins/test.yaml"

    def prepare(name: str) -> None:
        field.new(name)
        field.place(test=name)
        pins.unlink(missing_ok=True)

    def state(name: str) -> State:
        left = {"pins": pins.read_text(), "left": len(field.unfinished(name))}
        return visible(field.store(name), PIN) | left

    return Work(
        prepare,
        lambda _: field.start("promote", "--from", "dev", "--to", "test"),
        lambda name: whole_or_nothing(field.store(name), PIN),
        state,
    )


def deploys(field: Field, model: Path) -> Work:
    values, pins = (field.project / f"values/{name}dev.yaml" for name in ("", "pins/"))
    pinned = Ref.pin("dev", "chat")

    def prepare(name: str) -> None:
        field.new(name)
        field.place(dev=name)
        values.write_text("global: {models: {}}\n")
        pins.unlink(missing_ok=True)

    def state(name: str) -> State:
        texts = {"values": values.read_text(), "pins": pins.read_text()}
        return visible(field.store(name), pinned) | texts | {"left": len(field.unfinished(name))}

    return Work(
        prepare,
        lambda _: field.start("deploy", "chat", "--source", model, "--as", REPO, "--env", "dev"),
        lambda name: whole_or_nothing(field.store(name), pinned),
        state,
    )


def keeps(field: Field, bundle: Path) -> Work:
    """Into directories."""
    field.run("sideload", bundle, "--to", "dev")

    def store(name: str) -> Store:
        return connect(str(field.project / name))

    return Work(
        lambda name: dict.clear(store(name).init()),
        lambda name: field.start("sync", "dev", store(name).url),
        lambda name: whole_or_nothing(store(name), MAIN),
        lambda name: visible(store(name), MAIN),
    )


def moves(field: Field, bundle: Path, there: Field) -> Work:
    """Into stores on a server, which may be the same."""
    field.run("sideload", bundle, "--to", "dev")
    reach = ("--to-endpoint", there.server.endpoint)

    def state(name: str) -> State:
        return visible(there.store(name), MAIN) | {"left": len(there.unfinished(name))}

    return Work(
        lambda name: print(there.new(name).url),
        lambda name: field.start("sync", "dev", f"s3://{there.bucket}/{name}", *reach),
        lambda name: whole_or_nothing(there.store(name), MAIN),
        state,
    )


@pytest.fixture
def elsewhere(field: Field, tmp_path: Path) -> Iterator[Field]:
    """On a server that takes the same keys."""
    program, folder = needs("WAYBILL_TEST_MINIO"), tmp_path / "elsewhere"
    folder.mkdir()
    other = replace(field.server, endpoint=f"http://127.0.0.1:{free_port()}")
    with minio_server(program, folder, again=other) as server, client_of(server) as client:
        yield new_field(tmp_path / "there", server, client, field.starter)


def undisturbed(work: Work) -> tuple[float, State]:
    """Seconds that the command takes, and what it leaves."""
    work.prepare("undisturbed")
    began, command = time.monotonic(), work.start("undisturbed")
    assert command.end() == 0, command.said
    return time.monotonic() - began, work.state("undisturbed")


def hunt(work: Work, kills: int, rng: random.Random) -> Counter[str]:
    """Kill the command and its reruns until that has happened so often; then let them end."""
    seconds, wanted = undisturbed(work)
    tally: Counter[str] = Counter()
    for name in (f"round-{number}" for number in range(10 * kills)):
        if tally["killed"] == kills:
            break
        work.prepare(name)
        for _ in range(rng.randint(1, 4)):
            share = rng.random()
            killed = tally["killed"] < kills and work.start(name).kill_after(share * seconds)
            tally["killed"] += killed
            print(f"{name}: killed {killed} after {share:.3f} of {seconds:.2f} s")
            work.check(name)
        command = work.start(name)
        assert command.end() == 0, command.said
        assert work.state(name) == wanted
        tally["reruns"] += 1
    return tally


@pytest.mark.parametrize("what", KILLS)
def test_killed_at_random_moments(
    what: str, request: pytest.FixtureRequest, field: Field, model: Path, bundle: Path
) -> None:
    makers: dict[str, Callable[[], Work]] = {
        "pack": lambda: packs(field, model),
        "verify": lambda: verifies(field, bundle),
        "sideload": lambda: sideloads(field, bundle),
        "promote": lambda: promotes(field, bundle),
        "deploy": lambda: deploys(field, model),
        "sync to a directory": lambda: keeps(field, bundle),
        "sync within a server": lambda: moves(field, bundle, field),
        "sync to a server": lambda: moves(field, bundle, request.getfixturevalue("elsewhere")),
    }
    tally = hunt(makers[what](), KILLS[what], random.Random(f"{SEED} {what}"))  # noqa: S311
    assert tally["killed"] == KILLS[what]
