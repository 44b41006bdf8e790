"""Envoy itself reads what the chart renders for each environment, down to clusters and routes."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import PINS, VALUES
from tests.integration.gateway.certificates import Authority
from tests.integration.gateway.process import config
from tests.services import needs

EXTERNAL = {
    "global": {
        "models": {
            "gpt": {
                "enabled": True,
                "target": "external",
                "external": {"url": "https://api.example.com", "existingSecret": "key"},
            }
        },
        "network": {"policies": False},
    },
    "gateway": {"tls": {"secretName": "tls"}, "auth": {"tenantClaim": "realm.tenant"}},
}


def inlined(contents: dict[str, str]) -> dict[str, Any]:
    """The bootstrap with the watched files in it: `--mode validate` reads no file beside it."""
    bootstrap: dict[str, Any] = yaml.safe_load(contents["bootstrap.yaml"])
    bootstrap.pop("dynamic_resources")
    clusters = yaml.safe_load(contents["clusters.yaml"])["resources"]
    for cluster in clusters:
        cluster.pop("@type")
    bootstrap["static_resources"]["clusters"] += clusters
    (routes,) = yaml.safe_load(contents["routes.yaml"])["resources"]
    routes.pop("@type")
    http = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    http["typed_config"].pop("rds")
    http["typed_config"]["route_config"] = routes | {"validate_clusters": True}
    return bootstrap


def validated(contents: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    for name in ("gateway", "credentials/gpt", "tls"):
        (folder / name).mkdir(parents=True)
    for name in ("credential-gpt.yaml", "certificate.yaml"):
        (folder / "gateway" / name).write_text(contents.get(name, ""))
    text = yaml.safe_dump(inlined(contents)).replace("/etc/waybill/", f"{folder}/")
    text = text.replace("/etc/ssl/certs/ca-certificates.crt", f"{folder}/ca/ca.crt")
    (folder / "ca").mkdir()
    (folder / "ca" / "ca.crt").write_text(Authority.new().pem)
    (folder / "envoy.yaml").write_text(text)
    command = [needs("WAYBILL_TEST_ENVOY"), "--mode", "validate", "--log-level", "error"]
    command += ["--config-path", str(folder / "envoy.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
def test_envoy_accepts_what_is_rendered(environment: str, tmp_path: Path) -> None:
    own = yaml.safe_load((VALUES / f"{environment}.yaml").read_text())
    values = [own, yaml.safe_load(PINS.read_text()), EXTERNAL]
    done = validated(config(values, tmp_path / "values"), tmp_path)
    assert done.returncode == 0, done.stderr


def test_envoy_accepts_a_gateway_without_models(tmp_path: Path) -> None:
    done = validated(
        config([{"gateway": {"auth": {"enabled": False}}}], tmp_path / "values"), tmp_path
    )
    assert done.returncode == 0, done.stderr
