"""Whatever step a deployment or an approval dies at, nothing is half done; a rerun completes."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bundle.bundles import FILES, write
from tests.unit.release.crash import Crash, Fuse, install
from tests.unit.release.site import Site
from tests.unit.release.test_crash import assert_works, crashes
from tests.unit.release.test_deploy import DEMO, VALUES
from tests.unit.release.world import OTHER, REPO, World, new_world
from waybill.cli.main import main
from waybill.digest import Digest
from waybill.release import apply, approve
from waybill.release.plan import Plan
from waybill.sign.trust import now
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref

SECOND = timedelta(seconds=1)


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Two revisions of a model."""
    other = {**FILES, "config.json": b"{}\n"}
    return [write(tmp_path / "one", FILES), write(tmp_path / "two", other)]


def deploy(world: World, model: Path, profile: str) -> None:
    words = ["--source", str(model), "--as", str(DEMO), "--hardware", profile, "--env", "dev"]
    assert main(["deploy", "chat", *words, "--project", str(world.project), "--json"]) == 0


def state(world: World) -> Mapping[str, Any]:
    """What dev is told to run: by its people, by its pins, and by its store."""
    return {
        "values": world["dev"].values_path.read_text(),
        "pin": world.stable("dev"),
        "ref": [one.commit for one in world.records("dev", repo=DEMO)],
        "main": [one.commit for one in world.store("dev").history(DEMO, Ref("heads", "main"))],
    }


@pytest.mark.parametrize("first", [True, False])
def test_any_crash_of_a_deployment_is_harmless_and_the_rerun_completes(
    tmp_path: Path, models: list[Path], first: bool
) -> None:
    template = new_world(tmp_path / "template")
    template["dev"].values_path.write_text(VALUES)
    if not first:
        deploy(template, models[0], "gpu")
    done = World(tmp_path / "done")
    shutil.copytree(template.project, done.project)
    deploy(done, models[1], "cpu")
    old, new = state(template), state(done)
    assert all(old[part] != new[part] for part in old)
    for world in crashes(template, tmp_path, lambda world: deploy(world, models[1], "cpu")):
        assert_works(world)
        found = state(world)
        assert all(found[part] in (old[part], new[part]) for part in found)
        reached = [found[part] == new[part] for part in ("main", "values", "ref", "pin")]
        assert reached == sorted(reached, reverse=True), "what comes later was there first"
        deploy(world, models[1], "cpu")
        assert state(world) == new
        assert_works(world)


@pytest.fixture
def pair(site: Site) -> tuple[Site, Plan]:
    """A plan of two models, that one approval is wanted for."""
    site.world.pin("dev", site.world.revision("dev", 3, OTHER).commit, "embed", OTHER)
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    plan = site.prepare().plan
    assert set(plan.models) == {"chat", "embed"}
    return site, plan


def judged(site: Site, plan: Plan) -> str:
    return site.verdict("approvals", site.take(plan, by="pipeline")).result


def agree(site: Site, plan: Plan) -> set[Digest]:
    """The approvals, given a second later than the ones before."""
    taken = site.take(plan, by="alice")
    return set(approve.approve(taken, site.keys["alice"], now() + SECOND).values())


def carry_out(site: Site, plan: Plan, agreed: set[Digest]) -> None:
    """Both models come, and the record of each names these approvals."""
    assert judged(site, plan) == "pass"
    apply.carry_out(site.take(plan, by="pipeline"))
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        record, *_ = site.world.records("test", model, repo)
        assert record.plan == plan.digest and record.evidence and agreed <= set(record.evidence)


@pytest.mark.parametrize("again", [True, False])
def test_any_crash_of_an_approval_is_harmless_and_the_rerun_completes(
    pair: tuple[Site, Plan], tmp_path: Path, again: bool
) -> None:
    """An approval names the whole plan: it counts for all its models, or for none."""
    before, plan = pair
    seen = set()
    for whole in count():
        site = Site(tmp_path / f"crashed {whole}", before.keys)
        shutil.copytree(before.project, site.project)
        fuse = Fuse(whole)
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            install(fuse, patch)
            site.approve(plan)
        if not fuse.blown:
            break
        found = judged(site, plan)
        seen.add(found)
        if found == "pass" and not again:
            carry_out(site, plan, set())
        else:
            carry_out(site, plan, agree(site, plan))
        store = site.world.store("test")
        assert audit(store, inventory(store)).wrong == {}
    assert whole > 3 and seen == {"fail", "pass"}
