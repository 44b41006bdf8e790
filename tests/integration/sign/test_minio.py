"""A signed model on its way through real buckets: refused until it is signed, then let in."""

from pathlib import Path

import pytest
import yaml

from tests.services import Minio
from tests.unit.sign.making import p256_key, policy_file, public_pem, write_key
from waybill.bundle.media import Bundle
from waybill.cli.main import main

FILES = {"config.json": b"{}", "LICENSE": b"free", "model.safetensors": bytes(70_000)}


@pytest.fixture
def project(
    minio: Minio, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Two environments, of which prod trusts one key, and that key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", minio.secret_key)
    private = p256_key()
    places = {
        name: {"store": f"s3://{bucket}/{name}", "endpoint": minio.endpoint}
        for name in ("dev", "prod")
    }
    places["prod"]["trust"] = "values/trust.yaml"
    (tmp_path / "values").mkdir()
    text = yaml.safe_dump({"environments": places}, sort_keys=False)
    (tmp_path / "values/environments.yaml").write_text(text)
    known = {"release": {"publicKey": public_pem(private)}}
    rule = {"signedBy": ["release"], "unsigned": "refuse"}
    policy_file(tmp_path / "values/trust.yaml", keys=known, default=rule)
    for path, data in FILES.items():
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / path).write_bytes(data)
    return tmp_path, write_key(tmp_path / "key.pem", private)


def test_only_what_is_signed_reaches_prod(project: tuple[Path, Path]) -> None:
    folder, key = project

    def run(*words: object) -> int:
        return main([*map(str, words), "--project", str(folder), "--quiet"])

    assert run("store", "init", "dev") == run("store", "init", "prod") == 0
    packing = ("pack", folder / "model", "--as", "acme/demo", "--out", folder / "disk")
    assert run(*packing) == 0
    assert run("sideload", folder / "disk", "--to", "prod") == 3
    assert run("sideload", folder / "disk", "--to", "dev") == 0
    commit = Bundle.open([folder / "disk"]).index.revisions[0].manifest.commit
    assert run("pin", "dev", "chat", f"acme/demo@{commit}") == 0
    assert run("promote", "--from", "dev", "--to", "prod") == 3
    assert run("sign", "dev", "--repo", "acme/demo", "--key", key) == 0
    assert run("promote", "--from", "dev", "--to", "prod") == 0
    assert run("verify", "--store", "prod") == 0
    assert run("verify", "--store", "dev", "--trust", folder / "values/trust.yaml") == 0
    assert run(*packing, "--key", key) == 0
    assert run("sideload", folder / "disk", "--to", "prod") == 0
