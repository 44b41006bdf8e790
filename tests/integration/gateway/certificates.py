"""A certificate authority for one test run."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=5))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    pem: str

    @classmethod
    def new(cls) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate("test authority", key, "test authority", key)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        signed = made.add_extension(usage, critical=True).sign(key, hashes.SHA256())
        return cls(key, signed.public_bytes(serialization.Encoding.PEM).decode())

    def issue(self, host: str) -> dict[str, str]:
        """tls.crt and tls.key, as in a Secret of the type kubernetes.io/tls."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(host, key, "test authority", self.key)
        names = x509.SubjectAlternativeName([_named(host)])
        signed = made.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificate = signed.public_bytes(serialization.Encoding.PEM).decode()
        return {"tls.crt": certificate, "tls.key": private.decode()}

    def write(self, host: str, folder: Path) -> tuple[Path, Path]:
        """Files of a certificate and of its key."""
        folder.mkdir(parents=True)
        for name, text in self.issue(host).items():
            (folder / name).write_text(text)
        return folder / "tls.crt", folder / "tls.key"

    def context(self, host: str, folder: Path) -> ssl.SSLContext:
        """For a server of this name; its files are written into the folder."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.write(host, folder))
        return context

    def trust(self) -> ssl.SSLContext:
        """For a client."""
        return ssl.create_default_context(cadata=self.pem)
