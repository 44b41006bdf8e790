"""Releases against what is published of their kinds, closed: a mistyped key is an error."""

import copy
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import replicated
from tests.chart.rendering import HELM
from tests.chart.replicated import complaints, fields_of_go, installed, release
from tests.services import needs
from tests.unit.deliver.installer.samples import CHART, chart, options
from tests.unit.deliver.installer.test_lint import NONSENSE, folder
from waybill.deliver.installer.lint import RULES, Folder
from waybill.deliver.installer.rendering import Site, render

STRICT = {
    "waybill.yaml": ("spec", "wieght"),
    "settings.yaml": ("spec", "valeus"),
    "config.yaml": ("spec", "gruops"),
    "kots-app.yaml": ("spec", "statusInformer"),
    "lint.yaml": ("spec", "rulez"),
    "preflight.yaml": ("spec", "analysers"),
    "support-bundle.yaml": ("spec", "colectors"),
    "redactor.yaml": ("spec", "redactor"),
    "k8s-app.yaml": ("spec", "descriptors"),
    "backup.yaml": ("spec", "includeNamespaces"),
    "restore.yaml": ("spec", "backupname"),
}
"""File -> where a key is mistyped to see that the schema is closed."""
NOT_PUBLISHED = {
    "kots": set[str](),
    "ec2": {"embedded-cluster.yaml"},
    "ec3": {"embedded-cluster.yaml", "preflight.yaml"},
}
"""Installer -> files whose kinds have no schema; what there is of them is asked further down."""
WRONG = [
    ("k8s-app.yaml", ("descriptor", "links", 0, "urls"), "http://a.example"),
    ("k8s-app.yaml", ("descriptor", "links"), {"url": "http://a.example"}),
    ("backup.yaml", ("orLabelSelectors", 0, "matchLabel"), {}),
    ("backup.yaml", ("includedNamespaces",), "*"),
    ("backup.yaml", ("snapshotVolumes",), "no"),
    ("restore.yaml", ("existingResourcePolicy",), True),
    ("restore.yaml", ("includedNamespaces",), "*"),
]
"""File, where in its spec, and what must not stand there."""
CHOSEN = {
    "store": "external",
    "store_endpoint": "https://s3.example",
    "store_key_id": "k",
    "store_secret_key": 'it\'s a "secret": #1 \\ {{ }}',
}


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
    checked = found.keys() - NOT_PUBLISHED[target]
    assert checked <= STRICT.keys()
    assert {name: complaints(found[name][0]) for name in checked} == {name: [] for name in checked}


@pytest.mark.parametrize("file", STRICT)
def test_a_mistyped_key_is_seen(file: str, tmp_path: Path) -> None:
    good = installed(release("ec2"), {}, tmp_path).documents[file][0]
    part, key = STRICT[file]
    bad = copy.deepcopy(good)
    bad[part][key] = []
    assert any(key in message for message in complaints(bad))


@pytest.mark.parametrize(("file", "path", "value"), WRONG)
def test_what_must_not_stand_in_a_document_is_seen(
    file: str, path: tuple[str | int, ...], value: Any, tmp_path: Path
) -> None:
    bad = copy.deepcopy(installed(release("ec2"), {}, tmp_path).documents[file][0])
    place = bad["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (message,) = complaints(bad)
    assert str(path[-1]) in message


@pytest.mark.parametrize("chosen", [{}, CHOSEN | {"hardware": "cpu"}], ids=["defaults", "chosen"])
def test_preflight_checks_of_embedded_cluster_3_run_for_one_chart(
    chosen: Mapping[str, str], tmp_path: Path
) -> None:
    """It renders them by each chart's values; what comes out is as the version before has it."""
    made = release("ec3")
    found = installed(made, chosen, tmp_path).documents
    checks = {
        name: replicated.rendered(
            made.files["preflight.yaml"], name, found[file][0]["spec"]["values"], tmp_path
        )
        for name, file in (("waybill", "waybill.yaml"), ("waybill-settings", "settings.yaml"))
    }
    for check in checks.values():
        assert check["apiVersion"] == "troubleshoot.sh/v1beta3"
        assert complaints({**check, "apiVersion": "troubleshoot.sh/v1beta2"}) == []
    assert not any(run for run in runs(checks["waybill"]).values())
    (store,) = (each["s3Status"] for each in checks["waybill-settings"]["spec"]["collectors"][3:])
    assert store["secretAccessKey"] == chosen.get("store_secret_key", "")
    own_store, gpu = bool(chosen), "hardware" not in chosen
    ran = runs(checks["waybill-settings"])
    assert ran.pop("Object store") == ran.pop("store") == own_store
    drivers = [ran.pop(name) for name in ("GPU driver", "GPU driver, by its older label")]
    assert [ran.pop("GPUs"), *drivers] == [gpu] * 3
    assert all(ran.values())


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
        ("a: 2026-99-99\n", "no YAML"),
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


KNOWN = r"""
license: repl{{ LicenseFieldValue "seats" | ParseInt }}
tight: repl{{HasLocalRegistry | ternary LocalRegistryAddress "ghcr.io"}}
file: '{{repl ConfigOptionFilename "tls-key.pem" }}'
equals: repl{{ ConfigOptionEquals "a.version" "1.0" }}
differs: repl{{ ConfigOptionNotEquals `a-b` (ConfigOption "c d") }}
text: "repl{{ print "Namespace" }}"
cluster: repl{{ KubernetesVersion }} repl{{ Distribution }} repl{{ NodeCount }}
here: repl{{ if IsAirgap }}inside repl{{- else }}outside repl{{- end }}
image: repl{{ ReplicatedImageName (HelmValue ".image") true }}
other: repl{{ ReplicatedImageName "ghcr.io/a/b:1" }}
old: repl{{ LocalImageName "ghcr.io/a/b:1" }}
secret: repl{{ LocalRegistryImagePullSecret }}
first: repl{{ (Split "a,b" ",") | first | Base64Encode }}
sum: repl{{ Add (ParseInt "1") 2 }}
objects: repl{{ range (Lookup "v1" "Secret" "" "").items }}a repl{{- end }}
channel: repl{{ ChannelName }} repl{{ Sequence }} repl{{ VersionLabel }}
proxy: "repl{{ HTTPProxy }}"
bool: repl{{ ParseBool (ConfigOption "bool") }}
random: repl{{ RandomString 8 "[a-z]" | len }}
"""


def test_the_functions_that_installers_have_are_rendered() -> None:
    head = "apiVersion: v1\nkind: A\n"
    config = options("{name: a.version, default: '1.0'}", "{name: bool, default: '1'}")
    rule = RULES["invalid-rendered-yaml"]
    assert list(rule.check(folder({**config, "a.yaml": head + KNOWN}))) == []
    given = {"a.version": "1.0", "bool": "1"}
    outside, inside = (
        yaml.safe_load(render({"": KNOWN}, place)[""])
        for place in (Site(given), Site(given, "registry.local", "apps"))
    )
    assert outside["tight"] == "ghcr.io" and inside["tight"] == "registry.local/apps"
    assert outside["equals"] is True and outside["differs"] is False
    assert (outside["text"], outside["bool"], outside["random"]) == ("Namespace", True, 8)
    assert (outside["here"], inside["here"]) == ("outside", "inside")
    assert outside["other"] == "proxy.replicated.com/proxy/waybill/ghcr.io/a/b:1"
    assert inside["other"] == "registry.local/a/b:1"
    assert (outside["old"], inside["old"]) == ("ghcr.io/a/b:1", "registry.local/apps/b:1")
    assert (outside["first"], outside["sum"]) == ("YQ==", 3)


@pytest.mark.parametrize("rule", ["invalid-rendered-yaml", "helm-schema-violation"])
def test_no_rule_that_asks_helm_stumbles_over_nonsense(rule: str) -> None:
    list(RULES[rule].check(Folder(NONSENSE)))


@pytest.mark.parametrize("version", [3, 4])
def test_a_chart_is_rendered_for_a_kubernetes_that_it_takes(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a Helm that takes itself for one of an old Kubernetes, as it is built from source."""
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[version]))
    for wanted in (">=1.30.0-0", ">= 1.24.1", "^1.28.0 || >1.29.3", "<1.99.0", ">=1.25 <1.28"):
        about = f"{{apiVersion: v2, name: demo, version: 1.0.0, kubeVersion: '{wanted}'}}"
        made = folder({**chart(), "demo-1.0.0.tgz": {"demo/Chart.yaml": about}})
        assert list(RULES["helm-schema-violation"].check(made)) == [], wanted
