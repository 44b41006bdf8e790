"""Where pins, store, files and cluster disagree; a real cluster is looked at in tests/e2e."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release.world import REPO, World
from waybill.deliver import install
from waybill.deliver.helm import Helm, Installed
from waybill.deliver.rollout import Object
from waybill.errors import ClusterForbidden, ClusterUnreachable
from waybill.release import drift
from waybill.release.drift import Drift, Finding
from waybill.store import layout
from waybill.store.layout import Ref


def workload(replicas: int = 2, name: str = "w-hub") -> dict[str, Any]:
    container = {"name": "hub", "env": [{"name": "K", "valueFrom": secret("w-keys")}]}
    pod = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "template": pod}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def secret(name: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": "K"}}


@dataclass
class Cluster:
    objects: list[Object]
    secrets: dict[str, frozenset[str]] = field(default_factory=dict)
    refused: str = ""

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        assert selector == "app.kubernetes.io/instance=w" or kind == "networkpolicies"
        if kind == self.refused:
            raise ClusterForbidden(where="here", what=f"list {kind}", why="no right")
        plural = {kind: name for name, kind in drift.KINDS.items()}
        found = [each for each in self.objects if each["kind"] == plural[kind]]
        return [each for each in found if not selector or "labels" not in each["metadata"]]

    def secret_keys(self, name: str) -> frozenset[str] | None:
        return self.secrets.get(name)


KEYS = {"w-keys": frozenset({"K"})}


@pytest.fixture
def seen(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """seen(RENDERED, INSTALLED, CLUSTER) → what drift says of dev."""

    def look(expected: list[Object], applied: list[Object], cluster: Cluster) -> Drift:
        helm = Helm(Path("chart"), "w", "ns")
        monkeypatch.setattr(install, "render", lambda _: expected)
        monkeypatch.setattr(Helm, "installed", lambda _: Installed(1, applied))
        return drift.look(world["dev"], helm, cluster)

    return look


def told(found: Drift) -> list[tuple[str, str, str]]:
    return [(each.between, each.object, each.field) for each in found.findings]


def in_store(world: World) -> list[Finding]:
    held = world.pins("dev").models
    return list(drift.in_store(world["dev"], world.store("dev"), held))


def test_where_all_agree_nothing_is_said(seen: Any, world: World) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    found = seen([workload()], [workload()], Cluster([workload()], KEYS))
    assert found == Drift()


def test_what_was_changed_in_the_cluster_is_told_from_what_was_never_installed(seen: Any) -> None:
    by_hand = seen([workload()], [workload()], Cluster([workload(1)], KEYS))
    assert told(by_hand) == [("release and cluster", "Deployment w-hub", "spec.replicas")]
    assert "puts it back" in by_hand.findings[0].advice
    waiting = seen([workload(3)], [workload()], Cluster([workload()], KEYS))
    assert told(waiting) == [("files and release", "Deployment w-hub", "spec.replicas")]
    assert "brings it" in waiting.findings[0].advice


def test_an_object_that_was_left_behind_is_told(seen: Any) -> None:
    left = workload(name="w-old")
    found = seen([workload()], [workload()], Cluster([workload(), left], KEYS))
    assert told(found) == [("release and cluster", "Deployment w-old", "")]


def test_a_secret_that_is_gone_is_told_and_none_is_read(seen: Any) -> None:
    found = seen([workload()], [workload()], Cluster([workload()]))
    assert told(found) == [("release and cluster", "Secret w-keys", "")]


def test_a_key_that_the_charts_own_secret_lacks_is_told(seen: Any) -> None:
    plan = '{"labels": {}, "secrets": {"w-keys": {"K": {"random": 40}, "L": {"value": "x"}}}}'
    made: Object = {
        "kind": "ConfigMap",
        "metadata": {"name": "w-secrets", "annotations": {"helm.sh/hook": "pre-install"}},
        "data": {"plan.json": plan},
    }
    found = seen([workload(), made], [workload()], Cluster([workload()], KEYS))
    assert [(each.field, each.expected) for each in found.findings] == [("data", "L")]


def test_what_cannot_be_looked_at_is_said_and_the_rest_is(seen: Any, world: World) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    path = world.store("dev").backend.local_path(layout.STORE)
    assert path
    path.unlink()
    found = seen([workload()], [workload()], Cluster([workload(1)], KEYS, refused="services"))
    assert told(found) == [("release and cluster", "Deployment w-hub", "spec.replicas")]
    assert [line.partition(":")[0] for line in found.unread] == ["the store", "services"]


def test_what_was_found_is_told_where_the_cluster_is_away(seen: Any, world: World) -> None:
    class Away(Cluster):
        def listed(self, *_: str, **__: str) -> list[Object]:
            raise ClusterUnreachable(where="here", why="no route")

    with pytest.raises(ClusterUnreachable):
        seen([workload()], [workload()], Away([]))
    world.pin("dev", world.revision("dev", 1).commit)
    world["dev"].pins_path.unlink()
    found = seen([workload()], [workload()], Away([]))
    assert [each.between for each in found.findings] == [drift.STORED]
    assert [each.startswith("the release: ") for each in found.unread] == [True]


def test_of_a_part_only_what_decides_is_called_too_many() -> None:
    found, spare = Drift(), {"kind": "Service", "metadata": {"name": "w-x"}, "spec": {}}
    known: Object = {"kind": "Service", "metadata": {"name": "w-hub"}, "spec": {}}
    live = [workload(), workload(name="w-old"), known, spare]
    drift.in_cluster(found, [workload(), known], Cluster(copy.deepcopy(live)), "w")
    assert told(found) == [("release and cluster", "Deployment w-old", "")]


def policy(name: str, **more: Any) -> Object:
    about = {"name": name, "managedFields": [{"manager": "kubectl"}], **more}
    return {"kind": "NetworkPolicy", "metadata": about, "spec": {"ingress": [{}]}}


def test_a_policy_by_hand_that_lets_everybody_in_is_told(seen: Any) -> None:
    """The release's own selector does not find it."""
    expected = [workload(), policy("w-hub")]
    more = policy("allow-all", labels={"mine": "yes"})
    found = seen(expected, expected, Cluster([workload(), policy("w-hub"), more], KEYS))
    assert ("release and cluster", "NetworkPolicy allow-all", "") in told(found)
    found = seen([workload()], [workload()], Cluster([workload(), more], KEYS))
    assert told(found) == [], "a release without policies keeps nothing shut"


def test_a_ref_that_moved_behind_the_file_is_told(world: World) -> None:
    one, two = (world.revision("dev", number).commit for number in (1, 2))
    world.pin("dev", one)
    store, ref = world.store("dev"), Ref.pin("dev", "chat")
    store.move(REPO, ref, two, expected=store.head(REPO, ref), by="another", why="")
    (found,) = in_store(world)
    assert (found.between, found.expected, found.found) == ("pins and store", one, two)
    assert "take the newest pins file" in found.advice


def test_a_pinned_revision_that_the_store_has_lost_is_told(world: World) -> None:
    made = world.revision("dev", 1)
    world.pin("dev", made.commit)
    path = world.store("dev").backend.local_path(layout.revision(REPO, made.commit))
    assert path
    path.unlink()
    (found,) = in_store(world)
    assert (found.expected, found.found) == (made.descriptor.digest, "nothing")


def test_a_file_that_the_store_has_lost_is_told(world: World) -> None:
    commit = world.revision("dev", 1).commit
    world.pin("dev", commit)
    assert in_store(world) == []
    weights = max(world.store("dev").manifest(REPO, commit).blobs)
    path = world.project / "stores/dev" / layout.blob(weights)
    path.unlink()
    (found,) = in_store(world)
    assert (found.object, found.field) == (f"{REPO}@{commit}", "")
    assert f"lacks {weights}" in found.found


def test_a_model_that_only_the_store_knows_is_told(world: World) -> None:
    commit = world.revision("dev", 1).commit
    world.pin("dev", commit)
    world["dev"].pins_path.unlink()
    (found,) = in_store(world)
    assert (found.expected, found.found) == ("nothing", commit)


def test_another_environments_refs_in_the_same_store_are_its_own(world: World) -> None:
    commit = world.revision("dev", 1).commit
    store = world.store("dev")
    store.move(REPO, Ref.pin("qa", "chat"), commit, expected=None, by="qa", why="")
    assert in_store(world) == []
