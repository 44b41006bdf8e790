"""A customer's own S3 and issuer: on the machine, outside of the cluster, with TLS of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.integration.gateway.certificates import Authority
from tests.keycloak import Keycloak, keycloak_server
from tests.services import Minio, Secured, minio_server, needs

HOST = "172.31.255.1"
"""The machine, as pods see it; nothing of the cluster goes there that is not said."""
BUCKET = "waybill"


@dataclass(frozen=True)
class Outside:
    minio: Minio
    keycloak: Keycloak
    bundle: Path
    """PEM of the authority that signed for both."""

    @property
    def store(self) -> dict[str, str]:
        """Answers in an installer's form."""
        return {
            "store": "external",
            "store_endpoint": self.minio.endpoint,
            "store_key_id": self.minio.access_key,
            "store_secret_key": self.minio.secret_key,
            "store_cidr": f"{HOST}/32",
            "store_port": str(urlsplit(self.minio.endpoint).port),
            "ca_bundle": self.bundle.read_text(),
        }

    @property
    def identity(self) -> dict[str, str]:
        """Answers in an installer's form."""
        return {
            "identity": "external",
            "identity_issuer": self.keycloak.issuer,
            "identity_jwks": f"{self.keycloak.issuer}/protocol/openid-connect/certs",
            "identity_cidr": f"{HOST}/32",
            "identity_port": str(urlsplit(self.keycloak.url).port),
            "ca_bundle": self.bundle.read_text(),
        }


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    authority = Authority.new()
    secured = Secured(HOST, *authority.write(HOST, folder / "tls"), authority.trust())
    bundle = folder / "authority.pem"
    bundle.write_text(authority.pem)
    with (
        minio_server(needs("WAYBILL_TEST_MINIO"), folder / "minio", secured=secured) as minio,
        keycloak_server(needs("WAYBILL_TEST_KEYCLOAK"), folder / "login", secured) as keycloak,
    ):
        make_bucket(minio, bundle)
        yield Outside(minio, keycloak, bundle)


def make_bucket(minio: Minio, bundle: Path) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=minio.endpoint,
        aws_access_key_id=minio.access_key,
        aws_secret_access_key=minio.secret_key,
        region_name="us-east-1",
        verify=str(bundle),
        config=Config(proxies={}),
    )
    client.create_bucket(Bucket=BUCKET)
