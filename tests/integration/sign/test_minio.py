"""A signed model on its way through real buckets: refused until it is signed, then let in."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.services import Minio
from tests.unit.sign.making import asking, p256_key, write_key
from waybill.bundle.media import Bundle
from waybill.cli.main import main
from waybill.deliver.environments import Environments
from waybill.sign.keys import Signer

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
    asking(tmp_path / "values/trust.yaml", Signer(private))
    for path, data in FILES.items():
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / path).write_bytes(data)
    return tmp_path, write_key(tmp_path / "key.pem", private)


@pytest.fixture
def run(project: tuple[Path, Path]) -> Callable[..., int]:
    """The exit code of a command in the project, whose stores are there."""

    def run(*words: object) -> int:
        return main([*map(str, words), "--project", str(project[0]), "--quiet"])

    assert run("store", "init", "dev") == run("store", "init", "prod") == 0
    return run


def test_only_what_is_signed_reaches_prod(
    project: tuple[Path, Path], run: Callable[..., int]
) -> None:
    folder, key = project
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


def test_a_copy_brings_what_its_hub_would_serve(
    project: tuple[Path, Path], run: Callable[..., int]
) -> None:
    folder, key = project
    sideload = ("sideload", folder / "model", "--to", "dev", "--as")
    assert run(*sideload, "acme/signed", "--key", key) == run(*sideload, "acme/demo") == 0
    assert run("sync", "dev", "prod", "--dry-run") == run("sync", "dev", "prod") == 3
    prod = Environments.load(folder)["prod"].connect()
    assert [str(repo) for repo, _ in prod.refs()] == ["acme/signed"]
    assert run("sign", "dev", "--repo", "acme/demo", "--key", key) == 0
    assert run("sync", "dev", "prod") == run("verify", "--store", "prod") == 0
    assert sorted(str(repo) for repo, _ in prod.refs()) == ["acme/demo", "acme/signed"]


def test_what_a_bucket_has_is_not_packed_again(
    project: tuple[Path, Path],
    run: Callable[..., int],
    minio: Minio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bucket that no environment names, reached by a profile."""
    folder, _ = project
    assert run("sideload", folder / "model", "--to", "dev", "--as", "acme/demo") == 0
    packing = ("pack", folder / "model", "--as", "acme/demo", "--out", folder / "delta")
    assert run(*packing, "--base", "dev", "--dry-run") == 0
    url = Environments.load(folder)["dev"].store
    keys = f"aws_access_key_id={minio.access_key}\naws_secret_access_key={minio.secret_key}\n"
    (folder / "credentials").write_text(f"[models]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (folder / "model/added.json").write_bytes(b"{1}")
    reach = ("--base-endpoint", minio.endpoint, "--base-profile", "models")
    assert run(*packing, "--base", url, *reach) == 0
    index = Bundle.open([folder / "delta"]).index
    assert index.base and (index.base.name, len(index.base.blobs)) == (url, len(FILES))
    assert run(*packing, "--base", "dev", *reach) == 2
