"""values/environments.yaml says of each store what the environment's values say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, CHART, HELM, VALUES, Render
from tests.printed import result
from tests.services import needs
from waybill.cli.main import main
from waybill.deliver import demands

ENVIRONMENTS = yaml.safe_load((VALUES / "environments.yaml").read_text())["environments"]


def merged(one: Any, other: Any) -> Any:
    """As Helm lays values over values."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return one | {key: merged(one.get(key), value) for key, value in other.items()}


def values(name: str) -> Any:
    files: list[Path] = [CHART / "values.yaml", VALUES / f"{name}.yaml"]
    chart, own = (yaml.safe_load(path.read_text()) for path in files)
    return merged(chart, own)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_bucket_is_the_one_that_is_made(name: str) -> None:
    store = values(name)["global"]["objectStore"]
    assert ENVIRONMENTS[name]["store"] == "/".join(
        filter(None, ["s3:/", store["bucket"], store["prefix"]])
    )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_store_is_where_its_ingress_is_or_a_port_is_forwarded(name: str) -> None:
    ingress = values(name)["minio"]["ingress"]
    scheme = "https" if ingress["tlsSecretName"] else "http"
    expected = f"{scheme}://{ingress['host']}" if ingress["enabled"] else "http://127.0.0.1:9000"
    assert ENVIRONMENTS[name]["endpoint"] == expected


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_store_holds_what_the_chart_asks_a_disk_for(name: str) -> None:
    assert ENVIRONMENTS[name]["capacity"] == values(name)["minio"]["storage"]["size"] + "B"


OURS = {
    "dev": set(),
    "test": {"registry-test", "site-ca"},
    "prod": {"registry-prod", "site-ca", "models", "keycloak-database"},
}
"""What pods of each environment need and people make."""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_has_to_be_there_first_is_found_and_in_the_guide(render: Render, name: str) -> None:
    found = {each.name for each in demands.given(render(*CASES[name]))}
    # In prod no hook makes the chart's own Secrets.
    assert {each for each in found if not each.startswith("t-")} == OURS[name]
    assert any(each.startswith("t-") for each in found) is (name == "prod")
    guide = Path("tools/docs/install.md").read_text()
    assert all(f"`{each}`" in guide for each in OURS[name])


def test_doctor_tells_what_it_finds_where_no_cluster_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs(HELM[4]))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code = main(["doctor", "dev", "--project", str(VALUES.parent), "--json"])
    told = result(capsys.readouterr().out)
    found = {each["check"]: each["level"] for each in told["findings"]}
    assert (code, told["ok"]) == (3, False)
    assert (found["helm"], found["values"], found["reach"]) == ("ok", "ok", "fail")
