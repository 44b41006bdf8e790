"""Parts into verified objects, beside the ways of today.

The first peer does what people do: unpack the tar onto scratch space, check each file with openssl
against the list of digests, mirror the folder with mc. The others are given more: the files lie
there unpacked already, and nobody checks them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ci.bench.cases.measure import Cost, Race, python, shell, waybill
from ci.bench.cases.stage import REPO, Server, model, server, signing
from tests.services import needs

UNPACK_CHECK_MIRROR = """
rm -rf "$3"; mkdir "$3"; tar -xf "$1" -C "$3"; cd "$3"
while read -r digest name; do
    [ "$(openssl dgst -sha256 -r "$name" | cut -d' ' -f1)" = "$digest" ]
done <"$2"
"$4" mirror --quiet "$3" "bench/$5"
rm -rf "$3"
"""
MINIO_PY = """
import os, pathlib, sys
import minio
client = minio.Minio(sys.argv[2], os.environ["AWS_ACCESS_KEY_ID"],
                     os.environ["AWS_SECRET_ACCESS_KEY"], secure=False)
for path in pathlib.Path(sys.argv[1]).iterdir():
    client.fput_object(sys.argv[3], path.name, str(path), num_parallel_uploads=4)
"""


def race(folder: Path, size: int, files: int, rounds: int) -> Race:
    source = model(folder / "model", size, files)
    waybill("pack", source, "--as", REPO, "--out", folder / "bundle")
    signing(folder)
    waybill("pack", source, "--as", REPO, "--out", folder / "signed", "--key", folder / "key")
    shell('tar -cf "$1" -C "$2" .', folder / "model.tar", source)
    shell('cd "$1" && sha256sum * >"$2"', source, folder / "list")
    with server(folder / "minio") as there:
        goal = "2 times as fast as unpack, check and mirror; as fast as mc mirror alone"
        return Race("parts to verified objects", goal, size, _ways(there, folder, source)).run(
            rounds
        )


def _ways(there: Server, folder: Path, source: Path) -> dict[str, Callable[[], Cost]]:
    mc, rclone = needs("WAYBILL_BENCH_MC"), needs("WAYBILL_BENCH_RCLONE")
    address = there.minio.endpoint.removeprefix("http://")

    def into(way: Callable[[str], Cost]) -> Callable[[], Cost]:
        """With a new bucket that is gone afterwards."""

        def run() -> Cost:
            bucket = there.bucket()
            try:
                return way(bucket)
            finally:
                there.drop(bucket)

        return run

    def sideload(bundle: str, bucket: str, *more: object) -> Cost:
        where = (f"s3://{bucket}", "--endpoint", there.minio.endpoint)
        waybill("store", "init", *where)
        return waybill("sideload", folder / bundle, "--to", *where, *more)

    tar, told, scratch = folder / "model.tar", folder / "list", folder / "scratch"
    return {
        "waybill sideload": into(lambda bucket: sideload("bundle", bucket)),
        "waybill sideload, signed and trusted": into(
            lambda bucket: sideload("signed", bucket, "--trust", folder / "trust.yaml")
        ),
        "untar, openssl dgst, mc mirror": into(
            lambda bucket: shell(UNPACK_CHECK_MIRROR, tar, told, scratch, mc, bucket)
        ),
        "mc mirror, unpacked and unverified": into(
            lambda bucket: shell('"$1" mirror --quiet "$2" "bench/$3"', mc, source, bucket)
        ),
        "minio-py, unpacked and unverified": into(
            lambda bucket: python(MINIO_PY, source, address, bucket)
        ),
        "rclone copy, unpacked and unverified": into(
            lambda bucket: shell('"$1" copy "$2" "bench:$3"', rclone, source, bucket)
        ),
    }
