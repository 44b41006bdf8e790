"""Where ci/demo keeps its stores: folders, an S3 server that a person names, or an own MinIO."""

import configparser
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from ci.stage import Failed, Stage, free_port, say

PLACES = ("dev", "test", "prod")
PROFILE = "demo"


class Folders:
    """A directory for each environment: no server at all."""

    words = "directory stores"

    def environments(self) -> dict[str, dict[str, str]]:
        return {place: {"store": f"stores/{place}"} for place in PLACES}

    @contextmanager
    def ready(self, stage: Stage) -> Iterator[None]:  # noqa: ARG002 - a server needs it
        yield


@dataclass
class Server:
    """An S3 server that runs already; credentials come from the caller's AWS settings."""

    endpoint: str
    words = "an S3 server"

    def environments(self) -> dict[str, dict[str, str]]:
        return {place: self._environment(bucket(place)) for place in PLACES}

    def _environment(self, name: str) -> dict[str, str]:
        return {"store": f"s3://{name}", "endpoint": self.endpoint}

    @contextmanager
    def ready(self, stage: Stage) -> Iterator[None]:
        stage.env.update({k: value for k, value in os.environ.items() if k.startswith("AWS_")})
        self.make_buckets()
        yield

    def make_buckets(self, **settings: Any) -> None:
        """As an administrator does it, once."""
        region = boto3.Session().region_name or "us-east-1"
        client = boto3.client("s3", endpoint_url=self.endpoint, region_name=region, **settings)
        try:
            there = {one["Name"] for one in client.list_buckets()["Buckets"]}
            for name in map(bucket, PLACES):
                say(f"  bucket {name}: {'is there' if name in there else 'made'}")
                if name not in there:
                    client.create_bucket(Bucket=name)
        except (BotoCoreError, ClientError) as error:
            hint = "check WAYBILL_DEMO_S3 and the AWS credentials, then run ci/demo again"
            raise Failed(f"no buckets at {self.endpoint}: {error}", hint=hint) from error
        finally:
            client.close()


@dataclass
class Minio(Server):
    """An own MinIO, with its data and credentials in the folder, stopped at the end."""

    program: str
    folder: Path
    words = "a MinIO"

    @classmethod
    def at(cls, folder: Path, program: str) -> "Minio":
        """At the port it had before where that is free, so that environments.yaml can stay."""
        file, port = folder / "values/environments.yaml", 0
        if file.exists():
            dev = yaml.safe_load(file.read_text())["environments"]["dev"]
            port = urlsplit(dev.get("endpoint", "")).port or 0
        return cls(f"http://127.0.0.1:{free_port(port)}", program, folder)

    def _environment(self, name: str) -> dict[str, str]:
        return {**super()._environment(name), "profile": PROFILE}

    @contextmanager
    def ready(self, stage: Stage) -> Iterator[None]:
        """Secrets travel by environment and by a file of the user alone, never by arguments."""
        known = self._credentials()
        files = {
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials"),
            "AWS_CONFIG_FILE": os.devnull,
        }
        stage.env.update(files)
        settings = {
            "MINIO_ROOT_USER": known["aws_access_key_id"],
            "MINIO_ROOT_PASSWORD": known["aws_secret_access_key"],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": str(self.folder),
        }
        address = self.endpoint.removeprefix("http://")
        command = [self.program, "server", "--quiet", "--address", address, "minio"]
        health = f"{self.endpoint}/minio/health/ready"
        with stage.server("MinIO", command, health, seconds=30, env=settings):
            say(f"  MinIO runs at {self.endpoint}, its credentials are known to this user alone:")
            say("  $ export " + " ".join(f"{name}={value}" for name, value in files.items()))
            self.make_buckets(**known)
            yield

    def _credentials(self) -> dict[str, str]:
        """Random ones, made once."""
        file = self.folder / "aws-credentials"
        found = configparser.ConfigParser()
        found.read(file)
        if not found.has_section(PROFILE):
            found[PROFILE] = {
                "aws_access_key_id": f"demo-{secrets.token_hex(6)}",
                "aws_secret_access_key": secrets.token_hex(20),
            }
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as to:
                found.write(to)
        return dict(found[PROFILE])


def bucket(place: str) -> str:
    return f"waybill-demo-{place}"


def choose(kind: str, folder: Path, program: str) -> Any:
    """`program` is the MinIO to start, or empty."""
    if kind == "directory":
        return Folders()
    return Minio.at(folder, program) if program else Server(os.environ["WAYBILL_DEMO_S3"])
