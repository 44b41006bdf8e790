"""Releases against what Replicated publishes of their kinds, closed: a mistyped key is an error."""

import copy
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import replicated
from tests.chart.replicated import complaints, fields_of_go, installed, release
from tests.unit.deliver.installer.samples import CHART, chart, options
from tests.unit.deliver.installer.test_lint import folder
from waybill.deliver import helm
from waybill.deliver.installer.lint import RULES

STRICT = {
    "waybill.yaml": ("spec", "wieght"),
    "settings.yaml": ("spec", "valeus"),
    "config.yaml": ("spec", "gruops"),
    "kots-app.yaml": ("spec", "statusInformer"),
    "lint.yaml": ("spec", "rulez"),
    "preflight.yaml": ("spec", "analysers"),
    "support-bundle.yaml": ("spec", "colectors"),
    "redactor.yaml": ("spec", "redactor"),
}
"""File -> where a key is mistyped to see that the schema is closed."""
CHOSEN = {"store": "external", "store_endpoint": "https://s3.example", "store_key_id": "k"}


@pytest.fixture(autouse=True)
def helm4() -> Iterator[None]:
    patch = replicated.program(4)
    yield
    patch.undo()


@pytest.mark.parametrize("target", ["kots", "ec2", "ec3"])
@pytest.mark.parametrize("chosen", [{}, CHOSEN], ids=["defaults", "chosen"])
def test_every_document_is_as_its_kind_is_published(
    target: str, chosen: Mapping[str, str], tmp_path: Path
) -> None:
    found = installed(release(target), chosen, tmp_path).documents
    checked = [
        name for name in STRICT if name in found and (target, name) != ("ec3", "preflight.yaml")
    ]
    assert len(checked) == (6 if target == "ec3" else 8)
    assert {name: complaints(found[name][0]) for name in checked} == {name: [] for name in checked}


@pytest.mark.parametrize("file", STRICT)
def test_a_mistyped_key_is_seen(file: str, tmp_path: Path) -> None:
    good = installed(release("kots"), {}, tmp_path).documents[file][0]
    part, key = STRICT[file]
    bad = copy.deepcopy(good)
    bad[part][key] = []
    assert any(key in message for message in complaints(bad))


@pytest.mark.parametrize("chosen", [{}, CHOSEN | {"hardware": "cpu"}], ids=["defaults", "chosen"])
def test_preflight_checks_of_embedded_cluster_3_run_for_one_chart(
    chosen: Mapping[str, str], tmp_path: Path
) -> None:
    """It renders them by each chart's values; what comes out is as the version before has it."""
    made = release("ec3")
    found = installed(made, chosen, tmp_path).documents
    checks = {
        name: rendered(
            made.files["preflight.yaml"], name, found[file][0]["spec"]["values"], tmp_path
        )
        for name, file in (("waybill", "waybill.yaml"), ("waybill-settings", "settings.yaml"))
    }
    for check in checks.values():
        assert check["apiVersion"] == "troubleshoot.sh/v1beta3"
        assert complaints({**check, "apiVersion": "troubleshoot.sh/v1beta2"}) == []
    assert not any(run for run in runs(checks["waybill"]).values())
    own_store, gpu = bool(chosen), "hardware" not in chosen
    ran = runs(checks["waybill-settings"])
    assert ran.pop("Object store") == ran.pop("store") == own_store
    assert ran.pop("GPUs") == ran.pop("GPU driver") == gpu
    assert all(ran.values())


def rendered(text: bytes, name: str, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """As Embedded Cluster 3 does it for a chart of this name."""
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"{{apiVersion: v2, name: {name}, version: 1.0.0}}")
    (chart / "values.yaml").write_text(yaml.safe_dump(dict(values)))
    (chart / "templates" / "preflight.yaml").write_bytes(text)
    (found,) = helm.documents(helm.run("template", "r", str(chart)))
    return dict(found)


def runs(check: Mapping[str, Any]) -> dict[str, bool]:
    """Check or collector -> whether it is not left out."""
    each = [
        (kind, one[kind])
        for one in (*check["spec"]["collectors"], *check["spec"]["analyzers"])
        for kind in one
    ]
    return {
        one.get("checkName") or one.get("collectorName") or kind: str(one["exclude"]) == "false"
        for kind, one in each
    }


def test_the_cluster_s_own_shape_has_the_fields_of_its_type() -> None:
    """Of the second generation, whose type is published; the third has documents alone."""
    text = (resources.files("waybill.deliver.installer.lint") / "shapes.yaml").read_text()
    shapes = yaml.safe_load(text)
    spec = shapes["Config.embeddedcluster.replicated.com/v1beta1"]["properties"]
    extension = spec["extensions"]["properties"]["helm"]["properties"]
    for struct, known in {
        "ConfigSpec": spec,
        "Domains": spec["domains"]["properties"],
        "Roles": spec["roles"]["properties"],
        "NodeRole": shapes["$defs"]["role2"]["properties"],
        "Helm": extension,
        "Chart": extension["charts"]["items"]["properties"],
        "UnsupportedOverrides": shapes["$defs"]["overrides"]["properties"],
    }.items():
        assert set(fields_of_go(struct)) == set(known), struct


@pytest.mark.parametrize(
    ("kind", "api"), [("Application", "v1beta1"), ("HelmChart", "v1beta2"), ("Config", "v1beta1")]
)
def test_our_shapes_know_the_published_fields(kind: str, api: str) -> None:
    text = (resources.files("waybill.deliver.installer.lint") / "shapes.yaml").read_text()
    ours = yaml.safe_load(text)[f"{kind}.kots.io/{api}"]["properties"]
    theirs = replicated.schema(kind, f"kots.io/{api}")["properties"]["spec"]["properties"]
    assert set(ours) == set(theirs)


def test_a_builder_that_the_chart_does_not_take_is_found() -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
    archive = {"demo-1.0.0.tgz": {**CHART, "demo/values.schema.json": schema}}
    rule = RULES["helm-schema-violation"]
    ((file, message),) = rule.check(folder({**archive, **chart(more=", builder: {a: text}")}))
    assert file == "helmchart-demo.yaml"
    assert "integer" in message
    assert list(rule.check(folder({**archive, **chart(more=", builder: {a: 1}")}))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('a: repl{{ ConfigOption "a" }}: b\n', "no YAML"),
        ('a: repl{{ Unheard "a" }}\n', "Unheard"),
        ("a: repl{{ if }}\n", "missing value"),
    ],
)
def test_what_renders_to_no_yaml_is_found(text: str, why: str) -> None:
    rule = RULES["invalid-rendered-yaml"]
    config = options("{name: a, default: x}")
    head = "apiVersion: v1\nkind: A\n"
    found = list(rule.check(folder({**config, "a.yaml": head + text})))
    assert found
    assert all(why in message for _, message in found)
    good = 'a: repl{{ ConfigOption "a" }}\nb: repl{{ HasLocalRegistry }}\nc: "{{ .Mine }}"\n'
    assert list(rule.check(folder({**config, "a.yaml": head + good}))) == []
