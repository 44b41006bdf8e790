"""The list of images: what any rendering runs is in it, and nothing that none runs."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, CHART, HELM, PINS, Refused, Render, containers, workloads
from tests.images import archive, build, layer
from tests.printed import result
from tests.services import needs
from waybill.cli.main import main
from waybill.deliver.compose.project import Options, project
from waybill.deliver.environments import Environments
from waybill.deliver.helm import Helm, of
from waybill.deliver.images.listing import EVERYTHING, Image, images_of, listed
from waybill.deliver.installer.images import places
from waybill.errors import HelmFailed, NotInCompose, NotPublishable
from waybill.generate import __main__ as generate
from waybill.generate import images

LIST = CHART / "images.yaml"
POLICY = Path("tools/docs/policy.md")
OWN_REGISTRY = {"global": {"imageRegistry": ""}}


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[4]))


def release(*files: Path) -> Helm:
    return Helm(CHART, "t", "ns", files=files)


def names(found: list[Image]) -> set[str]:
    return {str(one.reference) for one in found}


def rendered(render: Render, *values: Mapping[str, Any] | Path | str) -> set[str]:
    """What Helm says, read in another way than the list is made."""
    objects = render(*values, OWN_REGISTRY)
    return {one["image"] for each in workloads(objects) for one in containers(each)}


def test_the_list_of_the_chart_is_as_reviewed() -> None:
    assert images.image_list(Path()) == LIST.read_text(), "python -m waybill.generate --update"


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the chart beside which all that is generated is up to date.

    The guide of the policy is generated only in part.
    """
    shutil.copytree(CHART, tmp_path / CHART)
    (tmp_path / POLICY).parent.mkdir(parents=True)
    shutil.copy(POLICY, tmp_path / POLICY)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--update"]) == 0
    return tmp_path


def test_the_list_is_generated_by_the_schema_of_now(
    generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = generated / CHART / "values.schema.json"
    schema.write_text('{"required": ["none"]}')
    (generated / LIST).write_text("[]")
    assert generate.main([]) == 1
    assert f"{LIST}: helm template failed" in capsys.readouterr().err
    assert generate.main(["--update"]) == 0
    assert (generated / LIST).read_text() == LIST.read_text()


def test_without_helm_the_list_is_left_and_that_is_said(
    generated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (generated / LIST).write_text("[]")
    assert generate.main([]) == 1
    assert f"stale: {LIST}" in capsys.readouterr().err
    monkeypatch.setenv("WAYBILL_HELM", str(generated / "none"))
    assert generate.main([]) == 0
    assert f"not looked at: {LIST}, as helm is not there" in capsys.readouterr().err


def test_what_is_at_hand_says_digests_and_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = yaml.safe_load(LIST.read_text())[0]["name"]
    built = build([layer({"bin/sh": b"x" * 5000})])
    path = archive(tmp_path / "images.tar", {name: built})
    assert main(["images", "list", "--archive", str(path), "--json"]) == 0
    said = capsys.readouterr()
    first, *others = result(said.out)["images"]
    assert (first["name"], first["digest"]) == (name, built.digest)
    assert first["size"] == sum(map(len, built.blobs.values())) - len(built.manifest)
    assert not any(one["digest"] or "size" in one for one in others)
    assert all(one["name"] in said.err for one in others)


@pytest.mark.parametrize("case", CASES)
def test_installers_find_images_where_the_list_does(case: str) -> None:
    one = release(*CASES[case])
    images = {found.path: found.reference for found in listed(one, everything=True)}
    for slot in places(one.values()):
        # Where two are the same, the list names one of their paths.
        assert slot.name in {found.tagged for found in images.values()}, slot.path
    assert images.keys() <= {".".join(slot.path) for slot in places(one.values())}


@pytest.mark.parametrize("case", CASES)
def test_what_an_environment_runs_is_its_list(render: Render, case: str) -> None:
    assert names(listed(release(*CASES[case]))) == rendered(render, *CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_all_that_an_environment_could_run_holds_what_it_runs(case: str) -> None:
    could = names(listed(release(*CASES[case]), everything=True))
    assert could >= names(listed(release(*CASES[case])))


def test_an_image_of_its_own_has_no_digest_of_another(tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    image = {"digest": f"sha256:{'a' * 64}"}
    pull = {"image": {"tag": "9.9.9"}}
    values.write_text(json.dumps({"global": {"image": image}, "vllm": {"pull": pull}}))
    found = {one.path: one for one in listed(release(values), everything=True)}
    (own,) = (one for path, one in found.items() if path == "vllm.pull.image")
    assert (own.reference.tag, own.reference.digest, own.needs) == ("9.9.9", "", "a model")
    assert found["global.image"].reference.digest == image["digest"]


@pytest.mark.parametrize("case", ["prod", "external-oidc"])
def test_names_are_the_images_own_where_a_mirror_is_set(case: str) -> None:
    registries = {one.reference.registry for one in listed(release(*CASES[case]))}
    assert "docker.io" in registries
    assert not any(one.endswith("example.internal") for one in registries)


def toggles(schema: Mapping[str, Any], shapes: Mapping[str, Any], path: str = "") -> Iterator[Any]:
    """(path, value) of every switch and every choice of the values."""
    if "$ref" in schema:
        schema = {**shapes[schema["$ref"].removeprefix("#/$defs/")], **schema}
    choices = [True, False] if schema.get("type") == "boolean" else schema.get("enum", ())
    yield from ((path, choice) for choice in choices if not path.endswith("pullPolicy"))
    for key, below in schema.get("properties", {}).items():
        yield from toggles(below, shapes, f"{path}.{key}".lstrip("."))


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TOGGLES = list(toggles(SCHEMA, SCHEMA["$defs"]))
TOGETHER: dict[tuple[str, Any], Path | Mapping[str, Any]] = {
    ("minio.enabled", False): Path("values/samples/external-s3.yaml"),
    ("keycloak.enabled", False): Path("values/samples/external-oidc.yaml"),
    ("modelHub.enabled", False): nested("vllm.enabled", False),
}
"""Switches that stand alone nowhere, with what has to go with them."""


def values_of(toggle: tuple[str, Any]) -> list[Path | Mapping[str, Any]]:
    more = TOGETHER.get(toggle)
    return [nested(*toggle), *([more] if more else [])]


def test_the_switches_are_those_of_the_schema() -> None:
    paths = {path for path, _ in TOGGLES}
    assert {path for path in EVERYTHING if path.endswith((".enabled", ".mode"))} <= paths
    components = {f"{key}.enabled" for key in SCHEMA["properties"]} & paths
    assert components <= EVERYTHING.keys(), "a component whose switch the list does not know"


def test_no_switch_brings_an_image_that_the_list_has_not(render: Render) -> None:
    known, refused = names(listed(release(), everything=True)), []
    models = [Path("values/test.yaml"), Path("tests/chart/pins.yaml")]
    for toggle in TOGGLES:
        try:
            assert rendered(render, *models, *values_of(toggle)) <= known, toggle
        except Refused:
            refused.append(toggle)
    assert len(refused) < len(TOGGLES) / 2, refused


@pytest.mark.parametrize("image", yaml.safe_load(LIST.read_text()))
def test_an_image_goes_with_what_it_needs(render: Render, image: dict[str, Any]) -> None:
    """And so the list has none that no rendering runs."""
    models = [Path("values/test.yaml"), Path("tests/chart/pins.yaml")]
    assert image["name"] in rendered(render, *models)
    switch, _, mode = image["needs"].partition(": ")
    if mode:
        without = values_of((switch, "file"))
    elif switch in dict(TOGGLES):
        without = values_of((switch, False))
    else:
        without = [
            {"global": {"models": {"chat": {"enabled": False}, "embed": {"enabled": False}}}}
        ]
    assert (image["name"] in rendered(render, *models, *without)) == (image["needs"] == "")


@pytest.mark.parametrize("name", ["dev", "test", "prod"])
def test_a_host_without_kubernetes_runs_what_the_list_has(name: str) -> None:
    environment = Environments.load(Path())[name]
    chosen = of(environment, CHART, [PINS])
    found = project(environment, chosen, Options()).images
    known = {one.reference for one in listed(chosen)}
    mirror = chosen.values()["global"]["imageRegistry"]
    assert set(found) <= {str(one.at(mirror) if mirror else one) for one in known}
    assert len(found) > 2


def test_no_switch_brings_a_host_an_image_that_the_list_has_not(tmp_path: Path) -> None:
    """As the same for Kubernetes; what Compose cannot do, and what the chart refuses, it says."""
    environment = Environments.load(Path())["dev"]
    known, refused = names(listed(release(), everything=True)), []
    found: set[str] = set()
    for at, toggle in enumerate(TOGGLES):
        files = [PINS]
        for number, one in enumerate([*values_of(toggle), OWN_REGISTRY]):
            file = one if isinstance(one, Path) else tmp_path / f"{at}-{number}.json"
            if file is not one:
                file.write_text(json.dumps(one))
            files.append(file)
        try:
            runs = project(environment, of(environment, CHART, files), Options()).images
        except (HelmFailed, NotInCompose, NotPublishable):
            refused.append(toggle)
            continue
        assert set(runs) <= known, toggle
        found |= set(runs)
    assert len(refused) < len(TOGGLES) / 2, refused
    assert len(found) > 4


def test_a_chart_of_others_may_have_no_values_and_empty_lists(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: other, version: 1.0.0}")
    spec = {"initContainers": None, "containers": [{"name": "a", "image": "a/b:1"}, {"name": "c"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
    (tmp_path / "templates/pod.yaml").write_text(json.dumps(pod))
    assert names(listed(Helm(tmp_path, "t", "ns"))) == {"a/b:1"}


def test_a_pod_of_any_kind_is_seen() -> None:
    spec = {"containers": [{"image": "a/b:1"}], "initContainers": [{"image": "a/c:1"}]}
    labels = {"app.kubernetes.io/component": "vllm-chat-11111111"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    job = {"spec": {"template": template}}
    for one in (
        {"kind": "Pod", "metadata": {"labels": labels}, "spec": spec},
        {"kind": "Deployment", "metadata": {}, "spec": {"template": template}},
        {"kind": "CronJob", "metadata": {}, "spec": {"jobTemplate": job}},
    ):
        assert images_of([one]) == {"a/b:1": {"vllm"}, "a/c:1": {"vllm"}}
