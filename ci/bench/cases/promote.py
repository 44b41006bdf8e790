"""Promotion between two buckets of one MinIO, and within one store."""

from __future__ import annotations

from pathlib import Path

from ci.bench.cases.measure import Cost, Race, shell, told, waybill
from ci.bench.cases.stage import REPO, Server, model, server
from tests.services import needs

ENVIRONMENTS = """environments:
  dev: {{store: "s3://{dev}", endpoint: "{endpoint}"}}
  test: {{store: "s3://{test}", endpoint: "{endpoint}"}}
"""


def race(folder: Path, size: int, files: int, rounds: int) -> Race:
    source = model(folder / "model", size, files)
    waybill("pack", source, "--as", REPO, "--out", folder / "bundle")
    with server(folder / "minio") as there:
        dev = there.bucket()
        where = (f"s3://{dev}", "--endpoint", there.minio.endpoint)
        waybill("store", "init", *where)
        waybill("sideload", folder / "bundle", "--to", *where)
        ways = {
            "waybill promote": lambda: _promote(there, folder, dev, there.bucket()),
            "mc mirror": lambda: _mirror(there, dev),
            "waybill promote within one store": lambda: _promote(there, folder, dev, dev),
        }
        goal = "as fast as mc mirror, and checked; within one store whatever the size"
        return Race("between buckets of one server", goal, size, ways).run(rounds)


def _promote(there: Server, folder: Path, dev: str, test: str) -> Cost:
    """Of the promotion alone; the pins of an earlier round are gone."""
    project = folder / "project"
    shell('rm -rf "$1"; mkdir -p "$1/values"', project)
    text = ENVIRONMENTS.format(dev=dev, test=test, endpoint=there.minio.endpoint)
    (project / "values/environments.yaml").write_text(text)
    if test != dev:
        waybill("store", "init", f"s3://{test}", "--endpoint", there.minio.endpoint)
    commit = told("inspect", folder / "bundle")["revisions"][0]["commit"]
    waybill("pin", "dev", "bench", f"{REPO}@{commit}", "--project", project)
    cost = waybill("promote", "--from", "dev", "--to", "test", "--project", project)
    if test != dev:
        there.drop(test)
    else:
        # Its ref is there from now on, and the next round's pins file would not know it.
        there.client.delete_object(Bucket=dev, Key=f"refs/models/{REPO}/pins/test.bench.stable")
    return cost


def _mirror(there: Server, dev: str) -> Cost:
    bucket = there.bucket()
    mc = needs("WAYBILL_BENCH_MC")
    cost = shell('"$1" mirror --quiet "bench/$2" "bench/$3"', mc, dev, bucket)
    there.drop(bucket)
    return cost
