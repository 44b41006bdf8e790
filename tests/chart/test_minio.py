"""The embedded object store: one MinIO, the Job that gives it its users, and what is refused."""

import copy
from typing import Any

import pytest

from tests.chart.rendering import Object, Refused, Render, containers, named, of_kind, pod_spec

TLS = {"minio": {"tls": {"secretName": "cert"}}}
OWN = "https://t-minio.ns.svc:9000"


def minio(objects: list[Object]) -> Object:
    return named(objects, "StatefulSet", "minio")


def job(objects: list[Object]) -> Object:
    [found] = [
        one for one in of_kind(objects, "Job") if "minio-provision" in one["metadata"]["name"]
    ]
    return found


def env(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def secret(name: str, key: str) -> Object:
    return {"secretKeyRef": {"name": name, "key": key}}


@pytest.mark.parametrize("helm", [3, 4])
def test_the_root_keys_come_from_a_secret(render: Render, helm: int) -> None:
    [server] = containers(minio(render(helm=helm, kube="1.30.0")))
    assert server["args"][:2] == ["server", "/data"]
    keys = {key: secret("t-minio-root", key) for key in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")}
    assert env(server) == keys | {
        "MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL": "6h",
        "MINIO_API_STALE_UPLOADS_EXPIRY": "168h",
        "MINIO_BROWSER": "off",
        "MINIO_PROMETHEUS_AUTH_TYPE": "public",
        "MINIO_UPDATE": "off",
    }


def test_a_person_may_name_the_secret_and_the_environment(render: Render) -> None:
    values = {"minio": {"existingSecret": "mine", "env": {"MINIO_BROWSER": "on", "MORE": 1}}}
    [server] = containers(minio(render(values)))
    found = env(server)
    assert found["MINIO_ROOT_USER"] == secret("mine", "MINIO_ROOT_USER")
    assert (found["MINIO_BROWSER"], found["MORE"]) == ("on", "1")


def test_the_volume_is_claimed_or_given(render: Render) -> None:
    claimed = minio(render({"minio": {"storage": {"size": "1Ti", "storageClass": "fast"}}}))["spec"]
    [claim] = claimed["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Ti"}
    given = minio(render({"minio": {"storage": {"existingClaim": "mine"}}}))
    assert "volumeClaimTemplates" not in given["spec"]
    data = {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}
    assert data in pod_spec(given)["volumes"]


def test_a_new_version_of_the_chart_alone_restarts_nothing(render: Render) -> None:
    template = minio(render())["spec"]["template"]
    assert not [name for name in template["metadata"]["labels"] if name.endswith("/version")]


def test_its_services_lead_to_it(render: Render) -> None:
    objects = render()
    labels = minio(objects)["spec"]["template"]["metadata"]["labels"].items()
    for name in ("minio", "minio-headless"):
        service = named(objects, "Service", name)["spec"]
        assert service["selector"].items() <= labels
        assert service["ports"] == [{"name": "s3", "port": 9000, "targetPort": "s3"}]
    assert minio(objects)["spec"]["serviceName"] == "t-minio-headless"


def test_with_a_certificate_all_speak_tls(render: Render) -> None:
    objects = render(TLS, {"global": {"objectStore": {"endpoint": OWN}}})
    [server] = containers(minio(objects))
    probes = [server[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "liveness")]
    assert probes == ["HTTPS", "HTTPS"]
    for container in containers(job(objects)):
        assert OWN in container["args"]


def test_a_certificate_and_an_endpoint_without_it_contradict_each_other(render: Render) -> None:
    with pytest.raises(Refused, match=f"set global.objectStore.endpoint to {OWN}"):
        render(TLS)
    with pytest.raises(Refused, match=r"MinIO has no certificate: set minio\.tls\.secretName"):
        render({"global": {"objectStore": {"endpoint": OWN}}})


def test_the_job_sees_the_root_keys_only_where_it_makes_users(render: Render) -> None:
    objects = render({"global": {"objectStore": {"users": {"hub": {"existingSecret": "hubs"}}}}})
    provision, store = containers(job(objects))
    assert provision["args"][:3] == ["provision", "object-store", "s3://waybill"]
    assert store["args"][:3] == ["store", "init", "s3://waybill"]
    assert env(store)["AWS_ACCESS_KEY_ID"] == secret("t-objectstore-sideload", "AWS_ACCESS_KEY_ID")
    mounted = [mount["name"] for mount in store.get("volumeMounts", [])]
    assert "credentials" not in mounted
    [credentials] = pod_spec(job(objects))["volumes"]
    names = [source["secret"]["name"] for source in credentials["projected"]["sources"]]
    ours = [f"t-objectstore-{user}" for user in ("sideload", "promote", "prune")]
    assert names == ["t-minio-root", "hubs", *ours]


def test_the_job_gets_a_new_name_with_whatever_it_does(render: Render) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"global": {"objectStore": {"bucket": "other"}}},
        {"global": {"image": {"tag": "9.9.9"}}},
        {"minio": {"existingSecret": "mine"}},
    ]
    names = {job(render(copy.deepcopy(values)))["metadata"]["name"] for values in changes}
    assert len(names) == len(changes)
    assert (
        job(render())["metadata"]["name"]
        == job(render({"minio": {"staleUploads": "1h"}}))["metadata"]["name"]
    )


def test_the_ca_bundle_reaches_the_job(render: Render) -> None:
    objects = render({"global": {"caBundle": {"existingConfigMap": "ca"}}})
    for container in containers(job(objects)):
        assert env(container)["SSL_CERT_FILE"] == "/etc/waybill/ca/ca.crt"
        assert "ca-bundle" in [mount["name"] for mount in container["volumeMounts"]]


def test_the_ingress_leads_to_the_bucket_and_to_no_metrics(render: Render) -> None:
    ingress = {"enabled": True, "host": "s3.example.com"}
    values = {"minio": {"ingress": ingress}, "global": {"network": {"policies": False}}}
    bucket = {"global": {"objectStore": {"bucket": "models"}}}
    (rule,) = named(render(values, bucket), "Ingress", "minio")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/models"]


def test_an_external_store_needs_none_of_it(render: Render) -> None:
    users = {"hub": {"existingSecret": "s3-hub"}}
    store = {"mode": "external", "endpoint": "https://s3.example.com", "users": users}
    network = {"policies": False}
    objects = render(
        {"global": {"objectStore": store, "network": network}, "minio": {"enabled": False}}
    )
    assert not [one for one in objects if "minio" in one["metadata"]["name"]]
