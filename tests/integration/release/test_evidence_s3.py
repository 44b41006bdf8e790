"""Tests, plan, promotion and audit in buckets of a real MinIO; the same history across a gap."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.printed import result
from tests.unit.release.world import REPO, World, trust_in
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from waybill.sign.keys import Signer
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref


def waybill(world: World, *words: object, behind: tuple[str, ...] = ()) -> dict[str, Any]:
    own = ["--json", "--project", world.project, *(("--", *behind) if behind else ())]
    command = [sys.executable, "-m", "waybill", *map(str, [*words, *own])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return result(ran.stdout)


def trusting(world: World, key: Path) -> World:
    """Its environment test knows this key."""
    known = {"release": {"publicKey": public_pem(Signer.load(key).private)}}
    policy_file(world.project / "values/trust.yaml", keys=known, default={"unsigned": "allow"})
    trust_in(world.project, ["test"], "values/trust.yaml")
    return World(world.project)


def other_side(world: World, folder: Path) -> World:
    """A project of its own: its only environment, test, has the bucket that is prod's here."""
    places = yaml.safe_load((world.project / "values/environments.yaml").read_text())
    (folder / "values").mkdir(parents=True)
    text = yaml.safe_dump({"environments": {"test": places["environments"]["prod"]}})
    (folder / "values/environments.yaml").write_text(text)
    return World(folder)


def history(world: World) -> list[str]:
    store = world.store("test")
    return [head.digest for head in store.chain(store.head(REPO, Ref.pin("test", "chat")))]


@pytest.mark.timeout(300)
def test_evidence_and_history_cross_the_gap(world: World, tmp_path: Path) -> None:
    key = write_key(tmp_path / "release.pem", ed25519_key())
    outside = trusting(world, key)
    inside = trusting(other_side(world, tmp_path / "inside"), key)
    plan, bundle = tmp_path / "plan.json", tmp_path / "bundle"
    commit = outside.revision("dev", 1).commit
    outside.pin("dev", commit)
    test = ("attest", "chat", "--env", "dev", "--name", "smoke", "--key", key)
    waybill(outside, *test, behind=("true",))
    waybill(outside, "plan", "--from", "dev", "--to", "test", "--out", plan)
    waybill(outside, "apply", plan, "--key", key, "--why", "it is good")
    place = outside["test"]
    source = (f"store+{place.store}#{REPO}@{commit}", "--source-endpoint", place.endpoint)
    waybill(
        outside,
        "pack",
        *source,
        "--source-profile",
        place.profile,
        "--out",
        bundle,
        "--plan",
        plan,
        "--key",
        key,
    )
    waybill(inside, "sideload", bundle, "--to", "test")
    told = waybill(inside, "apply", bundle)
    assert history(inside) == history(outside) != []
    assert inside.stable("test") == commit and told["signedBy"] == {"chat": ["release"]}
    found = waybill(inside, "evidence", "chat", "--out", tmp_path / "audit")
    kinds = {one["predicateType"].rsplit("/", 2)[-2] for one in found["evidence"]}
    assert {"test-result", "promotion", "history"} <= kinds
    store = inside.store("test")
    assert audit(store, inventory(store)).wrong == {}
