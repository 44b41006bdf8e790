"""The Job of an import that runs in the cluster: what it runs, sees, and may talk to."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import (
    CASES,
    CHART,
    Object,
    Refused,
    Render,
    containers,
    of_kind,
    pod_labels,
    pod_spec,
)
from tests.chart.test_network import NAME, arrows, outside
from tests.services import needs
from waybill.deliver import helm
from waybill.deliver.environments import Environment
from waybill.deliver.import_job import CLAIM, SECRET, Import, is_import

ARGS = [f"{CLAIM}/acme/demo", "--as=acme/demo"]


def importing(**given: Any) -> dict[str, Any]:
    return {"import": {"enabled": True, "args": ARGS, **given}}


def job(objects: list[Object]) -> Object:
    (found,) = (one for one in objects if is_import(one))
    return found


def container(objects: list[Object]) -> Object:
    (found,) = containers(job(objects))
    return found


def variables(objects: list[Object]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(objects)["env"]}


@pytest.mark.parametrize("case", ["defaults", "dev", "test", "prod"])
def test_no_release_has_an_import(render: Render, case: str) -> None:
    assert not [one for one in render(*CASES[case]) if is_import(one)]


def test_it_runs_sideload_into_the_releases_store(render: Render) -> None:
    found = container(render(importing()))
    assert found["args"] == [
        *("sideload", *ARGS, "--to", "s3://waybill"),
        *("--endpoint", "http://t-minio.ns.svc:9000", "--json"),
    ]
    keys = [each["valueFrom"]["secretKeyRef"]["name"] for each in found["env"][:2]]
    assert keys == ["t-objectstore-sideload"] * 2


def test_words_with_quotes_and_blanks_stay_one_word(render: Render) -> None:
    said = '--why=a "reason": {{ .Values }} # 1'
    assert container(render(importing(args=[*ARGS, said])))["args"][3] == said


def test_the_name_tells_imports_apart_and_not_who_asks(render: Render) -> None:
    names = [
        job(render(importing(**given)))["metadata"]["name"]
        for given in (
            {"by": "one"},
            {"by": "other"},
            {"args": [*ARGS, "--tag=v1"]},
            {"claim": "c"},
            {"nodeSelector": {"disk": "fast"}},
        )
    ]
    assert names[0] == names[1] and len(set(names)) == 4
    assert variables(render(importing(by="one")))["WAYBILL_BY"] == "one"


def test_a_claim_is_seen_and_not_written(render: Render) -> None:
    objects = render(importing(claim="model-storage"))
    volumes = {each["name"]: each for each in pod_spec(job(objects))["volumes"]}
    claim = {"claimName": "model-storage", "readOnly": True}
    assert volumes["claim"]["persistentVolumeClaim"] == claim
    mount = {"name": "claim", "mountPath": CLAIM, "readOnly": True}
    assert mount in container(objects)["volumeMounts"]


def test_sources_are_confined_to_the_claim(render: Render) -> None:
    assert variables(render(importing()))["WAYBILL_SOURCE_ROOTS"] == CLAIM


def test_credentials_are_files_and_none_is_told_without_a_secret(render: Render) -> None:
    objects = render(importing(existingSecret="keys"))
    mount = {"name": "credentials", "mountPath": SECRET, "readOnly": True}
    assert mount in container(objects)["volumeMounts"]
    places = {name for name, value in variables(objects).items() if value.startswith(SECRET)}
    assert places == {"AWS_SHARED_CREDENTIALS_FILE", "DOCKER_CONFIG", "HF_TOKEN_PATH", "NETRC"}
    assert not places & variables(render(importing())).keys()


def test_the_hubs_trust_policy_holds(render: Render) -> None:
    assert "--trust" not in container(render(importing()))["args"]
    policy = "default: {unsigned: refuse}\n"
    objects = render(importing(), {"modelHub": {"trust": {"policy": policy}}})
    assert container(objects)["args"][-2:] == ["--trust", "/etc/waybill/trust/trust.yaml"]
    pod = job(objects)["spec"]["template"]["metadata"]
    assert pod["annotations"] == {"waybill.dev/trust": policy}
    own = {"existingConfigMap": "whom", "key": "us.yaml"}
    objects = render(importing(), {"modelHub": {"trust": own}})
    assert container(objects)["args"][-1] == "/etc/waybill/trust/us.yaml"
    named = [each.get("configMap") for each in pod_spec(job(objects))["volumes"]]
    assert {"name": "whom"} in named


def test_it_is_tried_again_only_where_that_may_help(render: Render) -> None:
    spec = job(render(importing()))["spec"]
    fail = spec["podFailurePolicy"]["rules"][1]
    assert fail["action"] == "FailJob"
    # Retryable, interrupted, killed for memory or time: sideload goes on where it stopped.
    assert fail["onExitCodes"]["values"] == [7, 130, 137, 143]
    assert pod_spec(job(render(importing())))["restartPolicy"] == "Never"


def test_it_reaches_the_store_and_nobody_reaches_it(render: Render) -> None:
    objects = render(importing())
    assert pod_labels(job(objects))[NAME] == "import"
    assert {arrow for arrow in arrows(objects, "egress") if arrow[0] == "import"} == {
        ("import", "minio", 9000)
    }
    assert "import" not in {component for component, _, _ in outside(objects, "egress")}
    assert not [arrow for arrow in arrows(objects, "ingress") if arrow[1] == "import"]
    assert "import" not in {component for component, _, _ in outside(objects, "ingress")}


def test_a_place_outside_is_reached_where_the_values_say_so(render: Render) -> None:
    place = {"enabled": True, "cidr": "10.9.0.0/16", "ports": [443], "from": ["import"]}
    objects = render({"global": {"network": {"external": {"artifacts": place}}}})
    found = [peer for one, peer, ports in outside(objects, "egress") if one == "import"]
    assert found == [{"ipBlock": {"cidr": "10.9.0.0/16"}}]


AWAY = {
    "global": {
        "objectStore": {
            "mode": "external",
            "endpoint": "https://s3.example.com",
            "users": {"hub": {"existingSecret": "hub"}},
        }
    },
    "minio": {"enabled": False},
}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (importing(args=[]), "nothing says what to import"),
        ({**AWAY, **importing()}, "set global.objectStore.users.sideload.existingSecret"),
        ({**AWAY, **importing()}, "the network lets nothing out of import"),
        (importing(claim="No_Claim"), "claim"),
        (importing(existingSecret="No_Secret"), "existingSecret"),
        (importing(args=[""]), "args"),
        (importing(token="x"), "token"),
    ],
)
def test_what_does_not_fit_is_refused(render: Render, values: Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        render(values)


@pytest.fixture(params=["WAYBILL_TEST_HELM3", "WAYBILL_TEST_HELM4"])
def release(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> helm.Helm:
    monkeypatch.setenv("WAYBILL_HELM", needs(request.param))
    if helm.version()[0] == 3:
        _of_today(tmp_path, monkeypatch)
    values = tmp_path / "dev.yaml"
    values.write_text(yaml.safe_dump({"import": {"nodeSelector": {"disk": "fast"}}}))
    own = Environment("dev", "s3://x", tmp_path / "pins", values, namespace="ns", release="w")
    return helm.of(own, CHART)


def _of_today(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm 3 as it is built here takes an old Kubernetes for granted; its releases do not."""
    program = folder / "helm"
    program.write_text(f'#!/bin/sh\nexec {helm.program()} "$@" --kube-version=1.36.0\n')
    program.chmod(0o755)
    monkeypatch.setenv("WAYBILL_HELM", str(program))


def test_the_command_gets_the_job_that_the_values_describe(release: helm.Helm) -> None:
    wanted = Import("hf://acme/demo", ["--as=acme/demo", '--why=a "b", c'], by="me")
    found = wanted.job(release, None)  # type: ignore[arg-type]
    assert of_kind([dict(found)], "Job") and found["metadata"]["name"].startswith("w-import-")
    assert pod_spec(dict(found))["nodeSelector"] == {"disk": "fast"}
    (one,) = containers(dict(found))
    assert one["args"][1:4] == ["hf://acme/demo", "--as=acme/demo", '--why=a "b", c']
