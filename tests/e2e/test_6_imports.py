"""Models that a Job imports inside: from a claim, and from a bucket with a Secret."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import CHART, DEV, RELEASE, ROOT, Clock, Project
from tests.e2e.kube import Kube, until

CLAIM, REPO = "model-storage", "acme/demo"
WEIGHTS = 4_000_000
CLAIMED = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: model-storage}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: NAMESPACE, name: model-storage}
  hostPath: {path: "FOLDER", type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: model-storage, namespace: NAMESPACE}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: model-storage
  resources: {requests: {storage: 1Gi}}
"""


@pytest.fixture(scope="module")
def model(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's directory on the claim, which a pod without rights may read; beside it another."""
    volume = tmp_path_factory.mktemp("volume")
    folder = volume / "acme/demo"
    for each in (folder, volume / "acme/other"):
        each.mkdir(parents=True)
        (each / "config.json").write_text('{"model_type": "demo"}')
        (each / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    (volume / "tiny.gguf").write_bytes(b"GGUF" + os.urandom(WEIGHTS))
    for each in (volume, *volume.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
    kube.apply(CLAIMED.replace("NAMESPACE", DEV).replace("FOLDER", str(volume)))
    return folder


@pytest.fixture(scope="module", autouse=True)
def dev(project: Project) -> None:
    """With all that earlier tests have changed."""
    project.install("dev", "--timeout", "300")


@pytest.fixture(autouse=True)
def no_job_stays(kube: Kube) -> Iterator[None]:
    yield
    for job in jobs(kube):
        kube.batch.delete_namespaced_job(job.metadata.name, DEV, propagation_policy="Background")


def jobs(kube: Kube) -> list[Any]:
    found = kube.batch.list_namespaced_job(DEV, label_selector="app.kubernetes.io/name=import")
    return list(found.items)


def command(project: Project, *source_and_flags: str) -> tuple[str, ...]:
    values = project.folder / "more-dev.yaml"
    where = ("--to", "dev", "--chart", str(CHART), "--values", str(values))
    return ("sideload", "--in-cluster", *where, *source_and_flags)


@pytest.fixture
def keys(kube: Kube) -> dict[str, str]:
    """Those of the store, which the Secret source-keys has, too, as a source's."""
    found = kube.secret(DEV, f"{RELEASE}-objectstore-sideload")
    profile = "".join(f"{key.lower()} = {value}\n" for key, value in found.items())
    secret = {"credentials": f"[source]\n{profile}"}
    about = {"name": "source-keys", "namespace": DEV}
    kube.apply(
        yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": secret}
        )
    )
    return found


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("dev_store")
def test_a_claim_is_imported(project: Project, kube: Kube, model: Path) -> None:
    """As the sample says it."""
    manifest = ROOT / "values/samples/sources/pvc.yaml"
    flags = ("--manifest", str(manifest), "--tag", "v1", "--why", "brought on a volume")
    with Clock("import of a small model from a claim"):
        done = project.waybill(*command(project, *flags))
    (revision,) = done["revisions"]
    assert revision["repo"] == REPO and done["missing"] == done["blobs"] == 2
    assert done["job"].startswith(f"{RELEASE}-import-") and not jobs(kube)
    # From here, with the keys that this machine has: all is there, and it is the same revision.
    again = project.waybill("sideload", str(model), "--as", REPO, *project.loading("dev"))
    assert again["missing"] == 0
    assert again["revisions"][0]["commit"] == revision["commit"]


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("model", "dev_store")
def test_one_file_of_a_claim_is_a_model(project: Project) -> None:
    done = project.waybill(*command(project, f"pvc://{CLAIM}/tiny.gguf", "--as", "acme/tiny"))
    assert done["blobs"] == 1
    out = project.folder / "tiny"
    where = ("--from", *project.loading("dev")[1:])
    project.waybill("pull", "acme/tiny", *where, "--out", str(out))
    assert (out / "tiny.gguf").read_bytes().startswith(b"GGUF")
    assert (out / "tiny.gguf").stat().st_size == WEIGHTS + 4


@pytest.mark.usefixtures("model")
def test_a_claim_or_secret_that_is_not_there_is_named(project: Project, kube: Kube) -> None:
    refused = project.waybill(*command(project, "pvc://models/demo", "--as", REPO), code=2)
    assert f"{DEV} has no claim models; it has " in refused["error"]["message"]
    assert CLAIM in refused["error"]["message"]
    flags = ("--as", REPO, "--source-secret", "none")
    refused = project.waybill(*command(project, f"pvc://{CLAIM}", *flags), code=2)
    assert "'none'" in refused["error"]["message"] and not jobs(kube)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("model")
def test_a_failure_is_told_in_the_commands_own_words(project: Project, kube: Kube) -> None:
    for _ in range(2):  # the second one replaces what is left of the first
        failed = project.waybill(*command(project, f"pvc://{CLAIM}/gone", "--as", REPO), code=1)
        assert "/mnt/source/gone" in failed["error"]["message"]
        assert failed["error"]["code"] == "ImportFailed"
    assert len(jobs(kube)) == 1
    # It is no part of the release, which is as well as before.
    assert project.install("dev", "--timeout", "60")["changes"] == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("model")
def test_neither_ctrl_c_nor_the_end_of_a_pod_ends_it_and_the_same_command_meets_it(
    project: Project, kube: Kube
) -> None:
    slow = ("--as", "acme/other", "--limit-rate", "200kB")
    call = command(project, f"pvc://{CLAIM}/acme/other", *slow)
    where = ("--project", str(project.folder), "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "waybill", *call, *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=project.env,
    ) as watching:
        until("the import runs", lambda: any(job.status.ready for job in jobs(kube)), 60)
        watching.send_signal(signal.SIGINT)
        out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 130 and "goes on in the cluster" in out
    (job,) = jobs(kube)
    kube.kill(DEV, job.metadata.labels[Kube.COMPONENT])
    done = project.waybill(*call)
    assert done["job"] == job.metadata.name and "is at work already" in done["stderr"]
    assert done["revisions"][0]["repo"] == "acme/other"


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("dev_store")
def test_buckets_and_stores_are_read_with_the_secrets_credentials(
    project: Project, model: Path, keys: dict[str, str]
) -> None:
    endpoint = f"http://{RELEASE}-minio.{DEV}.svc:9000"
    flags = ("--source-endpoint", endpoint, "--source-secret", "source-keys")
    done = project.waybill(
        *command(project, "s3://waybill/store.json", "--as", "acme/card", *flags)
    )
    assert done["revisions"][0]["repo"] == "acme/card"
    assert all(value not in done["stderr"] for value in keys.values())
    loaded = project.waybill("sideload", str(model), "--as", REPO, *project.loading("dev"))
    again = project.waybill(*command(project, f"store+s3://waybill#{REPO}@main", *flags))
    assert again["missing"] == 0 and again["blobs"] == 2
    assert again["revisions"][0]["commit"] == loaded["revisions"][0]["commit"]
