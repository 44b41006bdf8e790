"""The samples for each way in which GPUs come to a cluster fit the chart, and do what they say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import HELM, PINS, VALUES, Render, of_kind, pod_spec
from tests.images import archive, build, layer
from tests.printed import result
from tests.services import needs
from tests.unit.deliver.installer.samples import OPERATOR
from tests.unit.deliver.installer.test_lint import content
from waybill.cli.main import main
from waybill.deliver import demands

SAMPLES = VALUES / "samples/gpus"
OPERATORS = VALUES / "samples/gpu-operator"
WITH_GPUS = ["operator-full", "operator-no-driver", "host-stack", "device-plugin-only"]
PAGE = Path("tools/docs/gpus.md")


def engines(render: Render, sample: str) -> list[dict[str, Any]]:
    objects = render(VALUES / "test.yaml", PINS, SAMPLES / f"{sample}.yaml")
    return [each for each in of_kind(objects, "Deployment") if "vllm-chat" in str(each["metadata"])]


@pytest.mark.parametrize("sample", WITH_GPUS)
def test_engines_go_where_the_gpus_are(render: Render, sample: str) -> None:
    said = yaml.safe_load((SAMPLES / f"{sample}.yaml").read_text())["global"]["profiles"]["gpu"]
    found = engines(render, sample)
    assert found
    for engine in found:
        spec = pod_spec(engine)
        assert demands.gpus(engine) == 1 and demands.cuda_of(engine) == (13, 0)
        assert said["nodeSelector"].items() <= spec["nodeSelector"].items()
        assert spec["tolerations"] == said["tolerations"]
        assert spec.get("runtimeClassName", "") == said["runtimeClassName"]


def test_without_gpus_nothing_asks_for_one(render: Render) -> None:
    found = engines(render, "none")
    assert found and not any(demands.gpus(engine) for engine in found)
    (image,) = {pod_spec(engine)["containers"][0]["image"] for engine in found}
    assert "/vllm/vllm-openai-cpu:" in image


def ticked(column: int) -> set[str]:
    """The images of the page's table that a way has to bring, without the driver's own."""
    rows = re.findall(
        r"^\| [^|]+ \| `([a-z0-9.]+/[^`]+)`.*?\|(.*)\|$", PAGE.read_text(), re.MULTILINE
    )
    found = {name for name, ticks in rows if "✓" in ticks.split("|")[column]}
    return found - {"nvcr.io/nvidia/driver"}


@pytest.mark.parametrize("column", range(3), ids=WITH_GPUS[:3])
def test_the_page_lists_what_an_operator_runs(
    column: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does the command that it names, which reads the chart."""
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[4]))
    chart = tmp_path / "gpu-operator.tgz"
    chart.write_bytes(content(OPERATOR))
    values = f"{OPERATORS / WITH_GPUS[column]}.yaml"
    assert main(["images", "list", "--chart", str(chart), "--values", values, "--json"]) == 0
    found = result(capsys.readouterr().out)["images"]
    assert {f"{one['registry']}/{one['repository']}" for one in found} == ticked(column)
    assert not any(one["path"] or one["needs"] for one in found)
    image = build([layer({"operator": b"x"})])
    tar = archive(tmp_path / "images.tar", {one["name"]: image for one in found})
    saving = ("images", "save", "--chart", chart, "--values", values, "--archive", tar, "--json")
    assert main([*map(str, saving), "--out", str(tmp_path / "operator")]) == 0
    saved = result(capsys.readouterr().out)
    assert saved["files"] == ["bom/bundle.cdx.json", "charts/gpu-operator-v26.7.0.tgz"]
    assert [one["name"] for one in saved["images"]] == [one["name"] for one in found]


def test_the_page_speaks_of_each_sample() -> None:
    assert {path.stem for path in OPERATORS.iterdir()} == set(WITH_GPUS[:3])
    assert {path.stem for path in SAMPLES.iterdir()} == {*WITH_GPUS, "none"}
    page = PAGE.read_text()
    for name in [*WITH_GPUS, "none"]:
        own = PAGE.with_name(f"gpus-{name}.md")
        assert f"samples/gpus/{name}.yaml" in page and f"({own.name})" in page
        assert f"samples/gpus/{name}.yaml" in own.read_text()


def test_the_plugin_alone_is_one_image() -> None:
    assert ticked(3) == {"nvcr.io/nvidia/k8s-device-plugin"}
