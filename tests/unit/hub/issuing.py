"""A small issuer of tokens with keys of its own: a real HTTP server in this process."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "waybill-hub"
WHO = "/api/whoami-v2"
"""Says who is signed in, whatever the store holds."""
DISCOVERY = "/.well-known/openid-configuration"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuing:
    """An issuer whose answers a test can change; `asked` has (path, Authorization)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, Key] = {"first": new_key()}
        self.asked: list[tuple[str, str | None]] = []
        self.status = 200
        self.gate = threading.Event()
        """No answer before it is set."""
        self.gate.set()
        self.others: list[dict[str, Any]] = [{"kty": "RSA", "use": "enc", "kid": "encryption"}]
        self.discovery = {"issuer": url, "jwks_uri": url + "/keys"}

    def entry(self) -> dict[str, Any]:
        """As the issuers file names it."""
        return {"name": "test", "issuer": self.url, "audience": AUDIENCE}

    def claims(self, **changes: object) -> dict[str, Any]:
        """Claims of a good token, changed; None leaves one out. Times count from now."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "somebody", "exp": 300, "iat": -1}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return {
            name: now + value if name in ("exp", "iat", "nbf") else value  # type: ignore[operator]
            for name, value in claims.items()
        }

    def token(self, kid: str | None = "first", **changes: object) -> str:
        key = self.keys.get(kid or "first") or new_key()
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        headers = {"kid": kid} if kid else None
        return jwt.encode(self.claims(**changes), key, algorithm, headers=headers)

    def bearer(self, kid: str | None = "first", **changes: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(kid, **changes)}"}

    def answer(self, path: str) -> Any:
        if path == DISCOVERY:
            return self.discovery
        return {"keys": [*self.others, *(_public(kid, key) for kid, key in self.keys.items())]}


def _public(kid: str, key: Key) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}  # type: ignore[arg-type]


@contextmanager
def issuing() -> Iterator[Issuing]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append((self.path, self.headers.get("Authorization")))
            issuer.gate.wait(10)
            body = json.dumps(issuer.answer(self.path)).encode()
            # As Kubernetes does, which is strict about the type of its keys.
            keys = "application/jwk-set+json" in self.headers.get("Accept", "")
            refused = self.path == "/openid/v1/jwks" and not keys
            self.send_response(406 if refused else issuer.status)
            if issuer.status == 302:
                self.send_header("Location", issuer.url + "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuing(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
