"""A release for Replicated's installers from its checks to its end, in a namespace of its own."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubernetes import utils
from kubernetes.utils.quantity import parse_quantity

from tests.chart import replicated
from tests.chart.replicated import HARDWARE, IDENTITY, MODELS, STORE
from tests.e2e.conftest import CHART, DEV, TEST, Clock, Gateway, Project, engine_volume, gateway
from tests.e2e.installer import SPACE, Installer, claims, holders, secrets
from tests.e2e.kube import Kube, until
from tests.e2e.outside import Outside, outside
from tests.e2e.test_2_models import CHAT
from tests.services import needs
from waybill.deliver import pins
from waybill.deliver.installer.charts import Chart

pytestmark = pytest.mark.timeout(600)
HERE = Path(__file__).parent
RELEASE, TRIES, ENV = "waybill", "waybill-tries", "room"
ANSWERS = {"hardware": "cpu", "storage_size": "2Gi"}
GIB = 2**30
DATA = f"app.kubernetes.io/instance={RELEASE}"
CHANGED = {"1.1.0": {"gateway": {"limits": {"requestBytes": 2**20}}}}
"""Version -> what the vendor sets from then on."""
CHECKS = {
    "Kubernetes version",
    "Storage class",
    "waybill-gateway Status",
    "waybill-model-hub Status",
    "Model hub reaches the object store",
    "Engines and all other pods",
}
"""What a support bundle looks at where there are no GPUs and MinIO is the store."""
COMBINATIONS = list(itertools.product(STORE, IDENTITY, HARDWARE, MODELS))


@dataclass
class Room:
    """A vendor's releases, a customer's installer, and what the customer brings models with."""

    installer: Installer
    project: Project

    def release(self, target: str, version: str) -> Path:
        out = self.project.folder / f"{target}-{version}"
        if not out.exists():
            files = [HERE / "values.yaml", HERE / "values-installer.yaml"]
            files += [self.installer.written("vendor.yaml", CHANGED.get(version, {}))]
            values = (f"--values={file}" for file in files)
            what = (f"--target={target}", f"--version={version}", f"--out={out}")
            self.project.waybill("package", *what, *values, f"--chart={CHART}")
        return out / "release"

    @property
    def first(self) -> Path:
        return self.release("kots", "1.0.0")


@pytest.fixture(scope="module")
def room(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """With the node to itself: what earlier tests have left is stopped."""
    stop(kube, DEV, TEST)
    for namespace in (SPACE, TRIES):
        kube.make_namespace(namespace)
    kube.apply(engine_volume(SPACE))
    folder = tmp_path_factory.mktemp("room")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
        yield Room(Installer(folder, dict(ANSWERS)), Project(folder))


def stop(kube: Kube, *namespaces: str) -> None:
    """Leave no pod of these namespaces, where they are."""
    for namespace in namespaces:
        for kind in ("deployment", "stateful_set"):
            for each in getattr(kube.apps, f"list_namespaced_{kind}")(namespace).items:
                kube.scale(namespace, kind, each.metadata.name, 0)
    for namespace in namespaces:
        until(f"{namespace} is empty", lambda: not running(kube, namespace), 180)  # noqa: B023


def running(kube: Kube, namespace: str) -> list[Any]:
    selector = "status.phase=Running"
    return list(kube.core.list_namespaced_pod(namespace, field_selector=selector).items)


def test_preflight_checks_tell_what_this_node_lacks(room: Room, kube: Kube) -> None:
    expected = node_lacks(kube) | {
        "Kubernetes version": "pass",
        "Storage class": "pass",
        "Container runtime": "pass",
    }
    checked = room.installer.preflight(room.installer.documents(room.first)["preflight.yaml"])
    assert checked == expected
    wishes = {"hardware": "gpu", "storage_class": "fast"}
    other = room.installer.documents(room.first, **wishes)["preflight.yaml"]
    lacking = {"GPUs": "fail", "Storage class": "fail"}
    lacking |= {"GPU driver": "pass", "GPU driver, by its older label": "pass"}
    assert room.installer.preflight(other) == expected | lacking


def test_their_linter_finds_nothing_wrong(room: Room) -> None:
    documents = room.installer.documents(room.first)
    assert room.installer.linted(documents["preflight.yaml"]) == []
    # It takes what an analyzer of pods fills in itself for a template of Helm's.
    filled_in = "Templating is not supported in v1beta2 specs"
    assert room.installer.linted(documents["support-bundle.yaml"]) == [filled_in]
    broken = {**documents["preflight.yaml"], "spec": {}}
    assert room.installer.linted(broken)


def node_lacks(kube: Kube) -> dict[str, str]:
    """The checks that depend on the machine, with what they have to say of it."""
    (node,) = kube.core.list_node().items
    has = node.status.allocatable
    processors, memory = (parse_quantity(has[name]) for name in ("cpu", "memory"))  # type: ignore[no-untyped-call]
    enough = "pass" if memory >= 24 * GIB else "warn"
    return {
        "Processors": "pass" if processors >= 4 else "fail",
        "Memory": enough if memory >= 8 * GIB else "fail",
    }


def test_embedded_cluster_3_has_the_same_charts_and_checks(room: Room) -> None:
    """So what follows here holds for it, too, but for the values that its own functions give: the
    registry of each image."""
    three = room.release("ec3", "1.0.0")
    charts = {path.name: path.read_bytes() for path in room.first.glob("*.tgz")}
    assert {path.name: path.read_bytes() for path in three.glob("*.tgz")} == charts
    values = room.installer.documents(three)["settings.yaml"]["spec"]["values"]
    text = (three / "preflight.yaml").read_bytes()
    check = replicated.rendered(text, "waybill-settings", values, room.installer.folder)
    # Their program takes the older version alone from who is no installer.
    ours = {**check, "apiVersion": "troubleshoot.sh/v1beta2"}
    theirs = room.installer.documents(room.first)["preflight.yaml"]
    assert room.installer.preflight(ours) == room.installer.preflight(theirs)


@pytest.mark.parametrize(("store", "identity", "hardware", "models"), COMBINATIONS)
def test_each_choice_is_taken_by_the_api_server(
    room: Room, kube: Kube, tmp_path: Path, store: str, identity: str, hardware: str, models: str
) -> None:
    chosen = {**STORE[store], **IDENTITY[identity], **HARDWARE[hardware], **MODELS[models]}
    documents = room.installer.documents(room.first, **chosen)
    for name in ("waybill.yaml", "settings.yaml"):
        spec = documents[name]["spec"]
        chart = Chart.read(room.first / "{name}-{chartVersion}.tgz".format(**spec["chart"]))
        values = replicated.values_of(documents[name])
        for each in replicated.templated(chart, values, spec["releaseName"], tmp_path):
            try_out(kube, each)


def try_out(kube: Kube, each: dict[str, Any]) -> None:
    """Have an object admitted, but not kept; its pod, too, which is where security is looked at."""
    if each["kind"] in ("Deployment", "StatefulSet", "Job"):
        template = each["spec"]["template"]
        # They are looked up, and nothing is there to be found.
        apart = ("serviceAccountName", "runtimeClassName")
        spec = {key: value for key, value in template["spec"].items() if key not in apart}
        claimed = [
            each["metadata"]["name"] for each in each["spec"].get("volumeClaimTemplates", ())
        ]
        volumes = [{"name": name, "emptyDir": {}} for name in claimed]
        spec["volumes"] = [*spec.get("volumes", ()), *volumes]
        metadata = {**template["metadata"], "name": each["metadata"]["name"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        try_out(kube, pod)
    utils.create_from_dict(  # type: ignore[no-untyped-call]
        kube.core.api_client, each, namespace=TRIES, dry_run="All", field_validation="Strict"
    )


def test_a_release_without_a_model_becomes_ready(room: Room, kube: Kube) -> None:
    with Clock("a release of an installer, without a model, to ready"):
        room.installer.deploy(room.first)
    spec = room.installer.documents(room.first)["kots-app.yaml"]["spec"]
    informers = [each for each in spec["statusInformers"] if each]
    assert len(informers) == 5 and all(is_ready(kube, each) for each in informers)
    assert not kube.engines(SPACE)
    at = door(kube)
    with httpx.Client(trust_env=False, headers={"authorization": f"Bearer {at.token}"}) as client:
        assert client.get(f"{at.url}/v1/models").json()["data"] == []


def is_ready(kube: Kube, informer: str) -> bool:
    kind, _, name = informer.partition("/")
    read = {"deployment": "deployment", "statefulset": "stateful_set"}[kind]
    found = getattr(kube.apps, f"read_namespaced_{read}")(name, SPACE)
    return bool(found.status.ready_replicas == found.spec.replicas > 0)


def test_pins_arrive_as_a_change_of_the_config_and_a_chat_is_answered(
    room: Room, kube: Kube, chat_models: list[Path]
) -> None:
    commit = bring(room, kube, chat_models[0])
    path = room.project.folder / f"values/pins/{ENV}.yaml"
    room.installer.answers["pins"] = path.read_text()
    with Clock("pins in an installer's form to a chat"):
        room.installer.deploy(room.first)
        # An installer does not hurry the kubelet, which brings a changed ConfigMap within a minute.
        until("the gateway knows it", lambda: door(kube).chat("chat").status_code == 200, 120)
    answer = door(kube).chat("chat")
    assert answer.headers["x-waybill-model-revision"] == commit
    assert pins.load(path).models["chat"].stable.commit == commit


def bring(room: Room, kube: Kube, model: Path) -> str:
    """Pack, sideload and pin a model as tools/docs/replicated.md has it. Its commit."""
    media = room.project.folder / "media"
    room.project.waybill("pack", str(model), "--as", CHAT, "--out", str(media))
    commit = str(sideload(room, kube)["revisions"][0]["commit"])
    room.project.waybill("pin", ENV, "chat", f"{CHAT}@{commit}", "--why", "first model")
    return commit


def sideload(room: Room, kube: Kube) -> dict[str, Any]:
    """Bring what is on the media, with the keys and the address that MinIO has now."""
    endpoint = f"http://{kube.address(SPACE, f'{RELEASE}-minio')}:9000"
    keys = kube.secret(SPACE, f"{RELEASE}-objectstore-promote")
    names(room, {"endpoint": endpoint}, keys)
    return room.project.waybill("sideload", str(room.project.folder / "media"), "--to", ENV)


def names(room: Room, where: dict[str, str], keys: dict[str, str]) -> None:
    """The store that the environment has from now on."""
    folder = room.project.folder
    about = {"store": "s3://waybill", "profile": ENV, **where}
    (folder / "values").mkdir(exist_ok=True)
    (folder / "values/environments.yaml").write_text(yaml.safe_dump({"environments": {ENV: about}}))
    lines = "".join(f"{key.lower()} = {value}\n" for key, value in keys.items())
    (folder / "credentials").write_text(f"[{ENV}]\n{lines}")


def door(kube: Kube) -> Gateway:
    return gateway(kube, SPACE, RELEASE)


def test_a_support_bundle_says_what_runs_and_holds_no_secret(room: Room, kube: Kube) -> None:
    documents = room.installer.documents(room.first)
    own = room.installer.written("redactor.yaml", documents["redactor.yaml"])
    with Clock("a support bundle"):
        document = documents["support-bundle.yaml"]
        checks, folder = room.installer.support_bundle(document, f"--redactors={own}")
    assert checks == {(check, "debug") for check in CHECKS}
    for part in ("engines", "gateway", "keycloak", "minio", "model-hub"):
        assert any(path.stat().st_size for path in folder.rglob(f"waybill/logs/{part}/**/*.log"))
    objects = json.loads((folder / f"cluster-resources/pods/{SPACE}.json").read_text())["items"]
    assert len(objects) >= len(running(kube, SPACE)) > 5, "rules that hide leave JSON"
    # What anybody may know is found, so that a search which finds nothing says something.
    found = {name for name, _ in holders(folder, {name: name for name in fixed(room.first)})}
    assert "waybill-gateway" in found
    assert list(holders(folder, hidden(room, kube))) == []


def test_an_s3_of_ones_own_is_asked_with_keys_that_are_not_kept(room: Room, kube: Kube) -> None:
    """Our rules for what is hidden are left out, as Embedded Cluster 3 does not know them."""
    keys = kube.secret(SPACE, f"{RELEASE}-objectstore-hub")
    answers = {
        "store": "external",
        "store_endpoint": f"http://{kube.address(SPACE, f'{RELEASE}-minio')}:9000",
        "store_key_id": keys["AWS_ACCESS_KEY_ID"],
        "store_secret_key": keys["AWS_SECRET_ACCESS_KEY"],
    }
    documents = room.installer.documents(room.first, **answers)
    assert room.installer.preflight(documents["preflight.yaml"])["Object store"] == "pass"
    other = room.installer.documents(room.first, **{**answers, "store_secret_key": "another"})
    assert room.installer.preflight(other["preflight.yaml"])["Object store"] == "warn"
    checks, folder = room.installer.support_bundle(documents["support-bundle.yaml"])
    assert checks == {(check, "debug") for check in CHECKS | {"Object store"}}
    assert json.loads((folder / "s3Status/store.json").read_text())["isConnected"]
    assert keys["AWS_SECRET_ACCESS_KEY"] in hidden(room, kube).values()
    assert list(holders(folder, hidden(room, kube))) == []


def hidden(room: Room, kube: Kube) -> dict[str, str]:
    """What no support bundle may have: of each Secret that there is, and a token."""
    public = fixed(room.first)
    found = {
        f"{space}/{name}/{key}": value
        for space in (SPACE, DEV, TEST, "kube-system")
        for name, keys in secrets(kube, space).items()
        for key, value in keys.items()
        if value not in public
    }
    assert len(found) >= 8
    return {**found, "token": door(kube).token}


def fixed(release: Path) -> set[str]:
    """Names of users and clients, which Secrets have beside what is random."""
    settings = yaml.safe_load((release / "settings.yaml").read_text())
    generated = settings["spec"]["values"]["generated"].values()
    return {value for keys in generated for value in keys.values() if "repl{{" not in value}


def test_the_next_release_keeps_secrets_data_and_pins(room: Room, kube: Kube) -> None:
    before = secrets(kube, SPACE), claims(kube, SPACE, DATA)
    assert len(before[0]) > 5 and len(before[1]) == 2
    # Even an installer that has lost what it made itself: the cluster knows it.
    replicated.defaulted.cache_clear()
    later = room.release("kots", "1.1.0")
    random = room.installer.documents(later)["settings.yaml"]["spec"]["values"]["generated"]
    assert random[f"{RELEASE}-minio-root"] != before[0][f"{RELEASE}-minio-root"]
    with Clock("upgrade to an installer's next release"):
        room.installer.deploy(later)
    assert (secrets(kube, SPACE), claims(kube, SPACE, DATA)) == before
    long = "x" * 2_000_000
    until("the vendor's change", lambda: door(kube).chat("chat", long).status_code == 413, 90)
    assert door(kube).chat("chat").status_code == 200
    assert sideload(room, kube)["missing"] == 0


def test_uninstalling_keeps_the_data_for_a_second_installation(room: Room, kube: Kube) -> None:
    before = secrets(kube, SPACE), claims(kube, SPACE, DATA)
    later = room.release("kots", "1.1.0")
    said = room.installer.remove(later)
    assert all(name in said for name in before[0]), said
    until("nothing runs", lambda: not running(kube, SPACE), 90)
    assert (secrets(kube, SPACE), claims(kube, SPACE, DATA)) == before
    replicated.defaulted.cache_clear()
    room.installer.answers.pop("pins")
    room.installer.deploy(later)
    assert (secrets(kube, SPACE), claims(kube, SPACE, DATA)) == before
    assert sideload(room, kube)["missing"] == 0


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Outside]:
    with outside(tmp_path) as found:
        yield found


@pytest.mark.timeout(900)
def test_each_store_works_with_each_issuer(room: Room, kube: Kube, theirs: Outside) -> None:
    """From MinIO and Keycloak by changes of the form, as a customer makes them."""
    later, commit = room.release("kots", "1.1.0"), brought_to(room, theirs)
    room.installer.answers |= theirs.identity
    with Clock("an issuer of one's own in the place of Keycloak, to ready"):
        room.installer.deploy(later)
    until("Keycloak has gone", lambda: not kube.pods(SPACE, "keycloak"), 60)
    asked = f"{door_of(kube, 'model-hub')}/api/models/{CHAT}/refs"
    for name, code in {"engine": 200, "stranger": 401}.items():
        bearer = {"authorization": f"Bearer {theirs.keycloak.token(name)}"}
        assert httpx.get(asked, headers=bearer, trust_env=False).status_code == code, name

    path = room.project.folder / f"values/pins/{ENV}.yaml"
    room.installer.answers |= {**theirs.store, "pins": path.read_text()}
    with Clock("an S3 of one's own in the place of MinIO, to a chat"):
        room.installer.deploy(later)
        at = Gateway(door_of(kube, "gateway"), theirs.keycloak.token("stranger"))
        until("the gateway knows it", lambda: at.chat("chat").status_code == 200, 120)
    assert at.chat("chat").headers["x-waybill-model-revision"] == commit
    assert not kube.pods(SPACE, "minio")

    room.installer.answers["identity"] = "embedded"
    with Clock("Keycloak again, to a chat"):
        room.installer.deploy(later)
        until("its tokens are good", lambda: door(kube).chat("chat").status_code == 200, 120)
    assert at.chat("chat").status_code == 401


def door_of(kube: Kube, component: str) -> str:
    return f"http://{kube.address(SPACE, f'{RELEASE}-{component}')}:8080"


def brought_to(room: Room, theirs: Outside) -> str:
    """What is on the media, in a store that was made there; its commit."""
    folder = room.project.folder
    keys = {
        "AWS_ACCESS_KEY_ID": theirs.minio.access_key,
        "AWS_SECRET_ACCESS_KEY": theirs.minio.secret_key,
    }
    names(room, {"endpoint": theirs.minio.endpoint, "caBundle": str(theirs.bundle)}, keys)
    reached = ("--endpoint", theirs.minio.endpoint, "--profile", ENV)
    room.project.waybill(
        "store", "init", "s3://waybill", *reached, "--ca-bundle", str(theirs.bundle)
    )
    brought = room.project.waybill("sideload", str(folder / "media"), "--to", ENV)
    commit = str(brought["revisions"][0]["commit"])
    room.project.waybill("pin", ENV, "chat", f"{CHAT}@{commit}", "--why", "another store")
    return commit
