"""Several writers at once: one wins, the others say so, and nothing mixes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.unit.release.world import OTHER, REPO, World, carry_out
from waybill.errors import RefMoved, WaybillError
from waybill.release import move, pin
from waybill.release.move import Reason

WRITERS = 6


def at_once(acts: list[Callable[[], Any]]) -> list[WaybillError | None]:
    """Runs all of them at the same moment; what each raised."""
    barrier = threading.Barrier(len(acts))
    raised: list[WaybillError | None] = [None] * len(acts)

    def run(at: int) -> None:
        barrier.wait()
        try:
            acts[at]()
        except WaybillError as error:
            raised[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def checkout(world: World, name: str) -> World:
    """Another clone of the same project: the same stores, pins files of its own."""
    project = world.project.with_name(name)
    (project / "values/pins").mkdir(parents=True)
    text = (world.project / "values/environments.yaml").read_text()
    text = text.replace("store: ", f"store: {world.project}/")
    (project / "values/environments.yaml").write_text(text)
    for file in (world.project / "values/pins").iterdir():
        (project / "values/pins" / file.name).write_bytes(file.read_bytes())
    return replace(world, project=project, by=name)


def test_of_several_promotions_from_several_clones_one_wins(model: World) -> None:
    clones = [checkout(model, f"clone-{number}") for number in range(WRITERS)]
    old, new = model.stable("test"), model.stable("dev")
    raised = at_once(
        [partial(carry_out, clone.plan("dev", "test"), by=clone.by, why="race") for clone in clones]
    )
    assert sum(error is None for error in raised) == 1
    assert all(isinstance(error, RefMoved) for error in raised if error)
    winner = clones[raised.index(None)]
    assert [record.by for record in model.records("test")] == [winner.by, "a test"]
    for clone in clones:
        assert clone.stable("test") == (new if clone is winner else old)


def test_of_several_pins_in_one_clone_file_and_ref_agree(model: World) -> None:
    commits = [model.revision("dev", 10 + number).commit for number in range(WRITERS)]
    steps = [pin.plan(model["dev"], "chat", REPO, commit) for commit in commits]
    raised = at_once(
        [partial(move.carry_out, [step], Reason(step.revision.commit, "race")) for step in steps]
    )
    assert sum(error is None for error in raised) == 1
    assert model.stable("dev") == model.ref("dev") == commits[raised.index(None)]


def test_pins_one_after_the_other_never_leave_an_older_file(model: World) -> None:
    """Each writer plans afresh, so several may win; the last ref and the file agree."""
    commits = [model.revision("dev", 10 + number).commit for number in range(WRITERS)]
    raised = at_once([partial(model.pin, "dev", commit) for commit in commits])
    assert any(error is None for error in raised)
    assert all(isinstance(error, RefMoved) for error in raised if error)
    assert model.stable("dev") == model.ref("dev")


def test_promotions_of_different_models_do_not_lose_each_other(model: World) -> None:
    names = [f"m{number}" for number in range(WRITERS)]
    commit = model.revision("dev", 5, OTHER).commit
    for name in names:
        model.pin("dev", commit, name, OTHER)
    assert at_once([partial(model.promote, "dev", "test", name) for name in names]) == [None] * len(
        names
    )
    assert {name: model.stable("test", name) for name in names} == dict.fromkeys(names, commit)
