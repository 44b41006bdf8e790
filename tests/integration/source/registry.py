"""A real registry, and how artifacts of each kind are put into it."""

import base64
import gzip
import io
import json
import secrets
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from tests.services import free_port, needs, running
from waybill import digest as digests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TITLE = "org.opencontainers.image.title"
FILEPATH = "org.cncf.model.filepath"


@dataclass(frozen=True)
class Registry:
    host: str
    folder: Path

    def blob(self, digest: str) -> Path:
        """Where the registry keeps a blob's bytes."""
        name = digest.removeprefix("sha256:")
        return self.folder / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"

    def push(
        self, data: bytes, media_type: str, repo: str = "demo", **notes: str
    ) -> dict[str, Any]:
        """A blob; its descriptor."""
        digest = digests.of(data)
        with httpx.Client(base_url=f"http://{self.host}", trust_env=False, timeout=30) as client:
            begun = client.post(f"/v2/{repo}/blobs/uploads/").raise_for_status()
            place = begun.headers["location"]
            client.put(f"{place}&digest={digest}", content=data).raise_for_status()
        told = {"mediaType": media_type, "digest": digest, "size": len(data)}
        return {**told, "annotations": notes} if notes else told

    def put(self, manifest: Mapping[str, Any], tag: str = "v1", repo: str = "demo") -> str:
        """A manifest; its digest."""
        data = json.dumps(manifest).encode()
        with httpx.Client(base_url=f"http://{self.host}", trust_env=False, timeout=30) as client:
            kind = {"Content-Type": str(manifest["mediaType"])}
            answer = client.put(f"/v2/{repo}/manifests/{tag}", content=data, headers=kind)
            answer.raise_for_status()
        return digests.of(data)

    def artifact(
        self, layers: list[dict[str, Any]], config_type: str, config: object = None, tag: str = "v1"
    ) -> str:
        """An image manifest of these layers; its digest."""
        described = self.push(json.dumps(config or {}).encode(), config_type)
        common = {"schemaVersion": 2, "mediaType": MANIFEST}
        return self.put({**common, "config": described, "layers": layers}, tag)


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """As Go's archive/tar writes it for kit and modctl: folders first, then what is in them."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return data.getvalue()


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@contextmanager
def registry_server(folder: Path, **settings: object) -> Iterator[Registry]:
    registry = Registry(f"127.0.0.1:{free_port()}", folder / "data")
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(registry.folder)}},
        "http": {"addr": registry.host},
        **settings,
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    command = [needs("WAYBILL_TEST_REGISTRY"), "serve", str(folder / "config.yml")]
    # A collector of traces would be looked for otherwise.
    env = {"OTEL_TRACES_EXPORTER": "none"}
    with running(command, env, folder / "registry.log", f"http://{registry.host}/", 30):
        yield registry


class TokenService:
    """What a registry sends its clients to: gives tokens for a password or an identity token."""

    def __init__(self) -> None:
        self.password, self.identity = secrets.token_hex(8), secrets.token_hex(8)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.given: list[str] = []
        """How each token was asked for."""

    @property
    def jwks(self) -> dict[str, Any]:
        key = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "test", "use": "sig", "alg": "ES256"}]}

    def token(self, scopes: list[str]) -> str:
        now = int(time.time())
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
        ]
        claims = {
            "iss": "test issuer",
            "aud": "test registry",
            "sub": "robot",
            "nbf": now - 10,
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        return jwt.encode(claims, self.key, "ES256", {"kid": "test"})

    def judge(self, handler: BaseHTTPRequestHandler) -> list[str] | None:
        """The scopes that are asked for; None for who may have none."""
        if handler.command == "POST":
            length = int(handler.headers["Content-Length"])
            form = parse_qs(handler.rfile.read(length).decode())
            self.given.append("identity token")
            return form["scope"] if form.get("refresh_token") == [self.identity] else None
        known = base64.b64encode(f"robot:{self.password}".encode()).decode()
        self.given.append("password")
        query = parse_qs(urlsplit(handler.path).query)
        return query["scope"] if handler.headers["Authorization"] == f"Basic {known}" else None

    @contextmanager
    def serve(self) -> Iterator[str]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scopes = service.judge(self)
                data = json.dumps({"token": service.token(scopes)} if scopes else {}).encode()
                self.send_response(200 if scopes else 401)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}/token"
            server.shutdown()
            thread.join()
