"""The samples for each way in which GPUs come to a cluster fit the chart, and do what they say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import PINS, VALUES, Render, of_kind, pod_spec
from waybill.deliver import demands

SAMPLES = VALUES / "samples/gpus"
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


def test_the_page_speaks_of_each_sample() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == {*WITH_GPUS, "none"}
    page = PAGE.read_text()
    assert all(f"samples/gpus/{name}.yaml" in page for name in [*WITH_GPUS, "none"])
