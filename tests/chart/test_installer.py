"""Releases for Replicated's installers: what they contain, and what becomes of each choice."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import replicated
from tests.chart.rendering import CHART
from tests.chart.replicated import (
    COMMIT,
    HARDWARE,
    IDENTITY,
    LOCAL,
    MODELS,
    STORE,
    Installed,
    installed,
    release,
)
from tests.unit.deliver.installer.samples import OPERATOR, OPERATOR_IMAGES
from tests.unit.deliver.installer.test_lint import content
from waybill.deliver.demands import GPU, Named, given
from waybill.deliver.images.listing import images_of
from waybill.deliver.installer.charts import unpacked
from waybill.deliver.installer.lint import Folder, examine
from waybill.deliver.installer.release import Release
from waybill.deliver.installer.rendering import Site, render
from waybill.deliver.installer.sources import document
from waybill.deliver.pins import Pins, Revision
from waybill.digest import from_hex
from waybill.errors import BadFile

TARGETS = ("kots", "ec2", "ec3")
VENDOR = """
global:
  image: {registry: registry.vendor.example, repository: waybill/waybill}
  models:
    chat: {enabled: true, profile: gpu}
minio:
  image: {registry: registry.vendor.example, repository: waybill/minio}
"""
COMBINATIONS = list(itertools.product(TARGETS, STORE, IDENTITY, HARDWARE, MODELS, (False, True)))


@pytest.fixture(autouse=True)
def helm4() -> Iterator[None]:
    patch = replicated.program(4)
    yield
    patch.undo()


def names(objects: list[dict[str, Any]]) -> set[str]:
    return set(images_of(objects))


@pytest.mark.parametrize(
    ("target", "store", "identity", "hardware", "models", "local"), COMBINATIONS
)
def test_each_choice_renders_and_finds_what_it_needs(
    target: str,
    store: str,
    identity: str,
    hardware: str,
    models: str,
    local: bool,
    tmp_path: Path,
) -> None:
    made = release(target, VENDOR)
    chosen = {**STORE[store], **IDENTITY[identity], **HARDWARE[hardware], **MODELS[models]}
    found = installed(made, chosen, tmp_path, local=local)

    objects = {Named(each["kind"], each["metadata"]["name"]) for each in found.settings}
    outside = {Named("Secret", "waybill-registry")} if target != "ec3" else set()
    assert given(found.objects) - objects == outside
    running = {each["metadata"]["name"] for each in found.objects}
    assert ("waybill-minio" in running) == (store == "minio")
    assert ("waybill-keycloak" in running) == (identity == "keycloak")
    assert not any(each["kind"] == "Role" for each in found.objects), "no hook makes Secrets here"
    check_images(made, found, local)
    check_engines(found, hardware, pinned=models == "pinned")


def test_an_import_is_given_keys_only_where_both_of_them_are(tmp_path: Path) -> None:
    half = {**STORE["s3"], "store_write_secret_key": ""}
    found = installed(release("kots", VENDOR), half, tmp_path)
    objects = {Named(each["kind"], each["metadata"]["name"]) for each in found.settings}
    assert Named("Secret", "waybill-store-write") not in objects
    users = found.documents["waybill.yaml"][0]["spec"]["values"]["global"]["objectStore"]["users"]
    assert users["sideload"]["existingSecret"] == ""


def check_images(made: Release, found: Installed, local: bool) -> None:
    declared = {place.name for place in made.images}
    used = names(found.objects)
    assert used
    if not local:
        proxied = "proxy.replicated.com/proxy/waybill/"
        assert {name.removeprefix(proxied) for name in used} <= declared
        return
    host, namespace = LOCAL
    if made.target.charts_only:
        kept = {f"{host}/{name.partition('/')[2]}" for name in declared}
    else:
        kept = {f"{host}/{namespace}/{name.rpartition('/')[2]}" for name in declared}
    assert used <= kept


def check_engines(found: Installed, hardware: str, *, pinned: bool) -> None:
    engines = [
        each
        for each in found.objects
        if each["metadata"]["name"] == f"waybill-vllm-chat-{COMMIT[:8]}"
    ]
    assert len(engines) == (2 if pinned else 0), "a Deployment and its Service"
    for each in engines:
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            image, limits = container["image"], container["resources"]["limits"]
            assert ("vllm-openai-cpu:" in image) == (hardware == "cpu")
            assert limits.get(GPU) == (2 if hardware == "gpu" else None)
            arguments = json.dumps(container)
            assert ("--tensor-parallel-size=2" in arguments) == (hardware == "gpu")


@pytest.mark.parametrize("target", TARGETS)
def test_both_helms_take_a_release(target: str, tmp_path: Path) -> None:
    chosen = {**STORE["s3"], **IDENTITY["issuer"], **HARDWARE["gpu"], **MODELS["pinned"]}
    four = installed(release(target, VENDOR), chosen, tmp_path)
    patch = replicated.program(3)
    try:
        three = installed(release(target, VENDOR), chosen, tmp_path)
        assert three.objects == four.objects
        beside = [[each["metadata"]["name"] for each in one.settings] for one in (three, four)]
        assert beside[0] == beside[1]
        assert {"waybill-store-read", "waybill-store-write", "waybill-ca"} < set(beside[0])
    finally:
        patch.undo()


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_is_the_same_bytes_each_time_and_with_each_helm(target: str) -> None:
    again = release.__wrapped__(target, VENDOR)
    assert again.files == release(target, VENDOR).files
    assert again.archive == release(target, VENDOR, helm_version=3).archive


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_breaks_no_rule(target: str) -> None:
    made = release(target)
    assert examine(Folder(made.files)) == []
    assert len(made.archive) < 200_000, "documents and charts, and no model"
    assert set(unpacked(made.archive)) == set(made.files)


@pytest.mark.parametrize("target", TARGETS)
def test_all_images_are_found_before_anybody_chooses(target: str, tmp_path: Path) -> None:
    """As the vendor's portal looks for them, to put them into the air-gapped bundle."""
    made = release(target)
    documents = {
        name: yaml.safe_load(made.files[name]) for name in ("waybill.yaml", "kots-app.yaml")
    }
    builder = documents["waybill.yaml"]["spec"]["builder"]
    found = names(replicated.templated(made.charts[0], builder, "waybill", tmp_path))
    found |= set(documents["kots-app.yaml"]["spec"]["additionalImages"])
    listed = yaml.safe_load((CHART / "images.yaml").read_text())
    assert found == {place.name for place in made.images} == {each["name"] for each in listed}


def test_a_digest_of_the_vendor_gives_way_to_the_tag(tmp_path: Path) -> None:
    vendor = f"gateway: {{image: {{digest: 'sha256:{COMMIT}'}}}}"
    made = release("kots", vendor)
    builder = yaml.safe_load(made.files["waybill.yaml"])["spec"]["builder"]
    for objects in (
        replicated.templated(made.charts[0], builder, "waybill", tmp_path),
        installed(made, {}, tmp_path).objects,
    ):
        assert not any("@" in name for name in names(objects))


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    found = installed(release("kots"), {}, tmp_path)
    for secret in found.settings:
        assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    hidden = found.documents["config.yaml"][0]["spec"]["groups"][-1]["items"]
    assert len(hidden) == len(found.settings) > 5, "each has one value that is random"
    assert all(item["hidden"] and item["type"] == "password" for item in hidden)
    assert all(len(item["value"]) == 40 for item in hidden)
    template = dict(unpacked(release("kots").charts[1].data))[
        "waybill-settings/templates/generated.yaml"
    ]
    assert b"lookup" in template


def test_what_a_person_types_arrives_letter_by_letter(tmp_path: Path) -> None:
    found = installed(release("kots"), STORE["s3"] | IDENTITY["issuer"], tmp_path)
    values = found.documents["settings.yaml"][0]["spec"]["values"]
    assert values["given"]["waybill-store-read"]["AWS_SECRET_ACCESS_KEY"] == 'it\'s a "secret": #1'
    assert values["caBundle"] == IDENTITY["issuer"]["ca_bundle"]


def test_a_person_adds_models_to_the_vendors(tmp_path: Path) -> None:
    models = "mine:\n  enabled: true\n  profile: cpu\n"
    pins = Pins().with_stable("mine", Revision("acme/mine", from_hex(COMMIT), 10**9)).text
    found = installed(release("ec3", VENDOR), {"models": models, "pins": pins}, tmp_path)
    engines = {
        each["metadata"]["name"] for each in found.objects if "vllm-mine" in str(each["metadata"])
    }
    assert f"waybill-vllm-mine-{COMMIT[:8]}" in engines


def test_snapshots_take_the_accounts_and_leave_the_models(tmp_path: Path) -> None:
    found = installed(release("kots", VENDOR), MODELS["pinned"], tmp_path)
    noted = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"].get("annotations", {})
        for each in found.objects
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    takes, leaves = "backup.velero.io/backup-volumes", "backup.velero.io/backup-volumes-excludes"
    assert noted["waybill-keycloak-postgresql"][takes] == "data"
    assert noted["waybill-minio"][leaves] == "data"
    assert noted[f"waybill-vllm-chat-{COMMIT[:8]}"][leaves] == "weights"


def with_operator(files: Mapping[str, str], folder: Path) -> Release:
    path = folder / "gpu-operator.tgz"
    path.write_bytes(content(files))
    return replicated.with_operator("ec3", path)


def test_the_operator_and_all_that_it_starts_come_out_of_the_installers_registry(
    tmp_path: Path,
) -> None:
    made = with_operator(OPERATOR, tmp_path)
    assert examine(Folder(made.files)) == []
    host, _ = LOCAL
    for there, names_there in (
        (Site(), OPERATOR_IMAGES),
        (Site(host=host), {f"{host}/{name.partition('/')[2]}" for name in OPERATOR_IMAGES}),
    ):
        text = render({"": made.files["embedded-cluster.yaml"].decode()}, there)[""]
        (chart,) = yaml.safe_load(text)["spec"]["extensions"]["helmCharts"]
        assert chart["chart"] == {"name": "gpu-operator", "chartVersion": "v26.7.0"}
        assert names(replicated.templated(made.charts[2], chart["values"], "o", tmp_path)) == (
            names_there
        )
        assert chart["values"]["toolkit"]["env"][0]["value"] == "/etc/k0s/containerd.d/nvidia.toml"
    assert {place.name for place in made.images} > OPERATOR_IMAGES
    application = yaml.safe_load(made.files["kots-app.yaml"])["spec"]
    assert set(application["additionalImages"]) > OPERATOR_IMAGES, "no pod shows all of them"
    assert made.files["gpu-operator-v26.7.0.tgz"] == content(OPERATOR)


def test_an_operator_with_an_image_from_elsewhere_is_refused(tmp_path: Path) -> None:
    pod = OPERATOR["gpu-operator/templates/operator.yaml"].replace("name: o", "name: p")
    fixed = pod.replace("{{ .Values.operator.repository }}", "nvcr.io/nvidia")
    with pytest.raises(BadFile, match=r"sets the registry of nvcr.io/nvidia/gpu-operator:v26"):
        with_operator({**OPERATOR, "gpu-operator/templates/fixed.yaml": fixed}, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_of_which_a_vendor_changes_only_the_tag_is_in_the_release(
    target: str, tmp_path: Path
) -> None:
    vendor = VENDOR.replace("  models:", "  profiles: {gpu: {image: {tag: v0.99.0}}}\n  models:")
    made = release(target, vendor)
    image = "docker.io/vllm/vllm-openai:v0.99.0"
    assert image in {place.name for place in made.images}
    application = yaml.safe_load(made.files["kots-app.yaml"])["spec"]
    assert image in application["additionalImages"]
    found = installed(made, MODELS["pinned"], tmp_path, local=True)
    check_images(made, found, local=True)
    assert any(name.endswith("/vllm-openai:v0.99.0") for name in names(found.objects))


def test_pods_reach_no_address_that_nobody_has_typed(tmp_path: Path) -> None:
    made = release("ec3")
    items = {
        item["name"]: item
        for group in yaml.safe_load(made.files["config.yaml"])["spec"]["groups"]
        for item in group["items"]
    }
    for name in ("store_cidr", "identity_cidr"):
        assert items[name]["required"] and "default" not in items[name]
    chosen = STORE["s3"] | IDENTITY["issuer"]
    told = installed(made, chosen, tmp_path)
    assert {"10.1.0.0/28", "10.2.0.8/32"} < addresses(told.objects)
    untold = installed(made, chosen | {"store_cidr": "", "identity_cidr": ""}, tmp_path)
    assert addresses(untold.objects) == addresses(told.objects) - {"10.1.0.0/28", "10.2.0.8/32"} | {
        "127.0.0.1/32"
    }


def addresses(objects: list[dict[str, Any]]) -> set[str]:
    """All that policies let pods go to by address."""
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    rules = [rule for spec in policies for rule in spec.get("egress") or ()]
    places = [place for rule in rules for place in rule.get("to") or ()]
    return {place["ipBlock"]["cidr"] for place in places if "ipBlock" in place}


def test_no_value_of_a_secret_is_in_a_release() -> None:
    config = yaml.safe_load(release("kots").files["config.yaml"])
    hidden = config["spec"]["groups"][-1]["items"]
    assert {item["value"] for item in hidden} == {"repl{{ RandomString 40 }}"}
    others = [item for group in config["spec"]["groups"][:-1] for item in group["items"]]
    secrets = [item for item in others if item["type"] == "password"]
    assert secrets
    assert not any("default" in item or "value" in item for item in secrets)


def test_checks_ask_for_the_kubernetes_that_the_chart_asks_for() -> None:
    made = release("kots")
    (oldest,) = {chart.facts["kubeVersion"] for chart in made.charts}
    version = oldest.removeprefix(">=").removesuffix("-0")
    for name in ("preflight.yaml", "support-bundle.yaml"):
        analyzers = yaml.safe_load(made.files[name])["spec"]["analyzers"]
        (check,) = (each["clusterVersion"] for each in analyzers if "clusterVersion" in each)
        (fail,) = (each["fail"] for each in check["outcomes"] if "fail" in each)
        assert fail["when"] == f"< {version}"
        assert f"older than {version.removesuffix('.0')}." in fail["message"]


def test_licenses_are_those_of_the_chart_s_images() -> None:
    listed = yaml.safe_load((CHART / "images.yaml").read_text())
    assert document("licenses").keys() == {each["repository"] for each in listed}


def test_the_page_counts_what_is_rendered() -> None:
    page = Path("tools/docs/replicated.md").read_text()
    assert f"Rendered: {len(COMBINATIONS)} combinations" in page
    kots = [each for each in COMBINATIONS if each[0] == "kots" and not each[-1]]
    assert f"the {len(kots)} of them that `kots` has with a network" in page
