"""`waybill package` as a vendor calls it: what it writes, signs, refuses and says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.chart import replicated
from tests.chart.rendering import CHART
from tests.images import archive, build, layer
from tests.pages import DOCS, REPO, blocks
from tests.printed import printed
from tests.unit.deliver.installer.samples import OPERATOR, OPERATOR_IMAGES, options
from tests.unit.deliver.installer.test_lint import content
from tests.unit.sign.test_statements import cyclonedx  # noqa: F401 - a fixture
from waybill import digest as digests
from waybill.cli.main import main
from waybill.sign import keys

VENDOR = {
    "global": {"image": {"registry": "registry.vendor.example"}},
    "minio": {"image": {"registry": "registry.vendor.example"}},
}


@pytest.fixture(autouse=True)
def helm4() -> Iterator[None]:
    patch = replicated.program(4)
    yield
    patch.undo()


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    path = tmp_path / "vendor.yaml"
    path.write_text(yaml.safe_dump(VENDOR))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    private = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    code = main(["package", *map(str, arguments), "--json"])
    told = capsys.readouterr()
    return code, printed(told.out), told.err


def test_a_release_is_written_whole_listed_and_signed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    vendor: Path,
    key: Path,
    cyclonedx: Any,  # noqa: F811
) -> None:
    out = tmp_path / "out"
    given = ("--target", "ec3", "--version", "1.4.0", "--values", vendor, "--key", key)
    code, told, err = said(capsys, *given, "--out", out)
    assert (code, err) == (0, "")
    result = told["result"]
    assert result["findings"] == []
    listed = Path(result["bom"]).read_bytes()
    bom = json.loads(listed)
    assert [error.message for error in cyclonedx.iter_errors(bom)] == []
    check_list(bom, result, out)
    check_signature(listed, Path(result["signature"]), key, tmp_path)
    chart = yaml.safe_load((out / "release/waybill.yaml").read_text())["spec"]["chart"]
    assert chart == {"name": "waybill", "chartVersion": "1.4.0"}
    assert said(capsys, "--lint", out) == said(capsys, "--lint", out / "release")


def check_list(bom: Mapping[str, Any], result: Mapping[str, Any], out: Path) -> None:
    """Every file by its digest, every image and chart with a license."""
    parts = {each["bom-ref"]: each for each in bom["components"]}
    for path in (out / "release").iterdir():
        file = parts.pop(f"file/{path.name}")
        (found,) = file["hashes"]
        assert found["content"] == digests.hex_of(digests.of(path.read_bytes()))
        assert file["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    licenses = {name: each["licenses"][0]["license"]["id"] for name, each in parts.items()}
    assert {name for name in licenses if name.startswith("image/")} == {
        f"image/{name}" for name in result["images"]
    }
    assert {name for name in licenses if name.startswith("chart/")} == {
        "chart/waybill",
        "chart/waybill-settings",
    }
    (minio,) = (name for name in licenses if "/minio:" in name)
    assert licenses[minio] == "AGPL-3.0-or-later"
    (engine,) = (each for name, each in parts.items() if "/vllm-openai:" in name)
    assert {"license": {"name": "NVIDIA CUDA Toolkit EULA"}} in engine["licenses"]
    whole = bom["metadata"]["component"]["hashes"][0]["content"]
    assert whole == digests.hex_of(digests.of(Path(result["archive"]).read_bytes()))


def check_signature(data: bytes, signature: Path, key: Path, folder: Path) -> None:
    """By ourselves, and by openssl alone."""
    signer = keys.Signer.load(key)
    assert keys.is_right(signer.public, signature.read_bytes(), data)
    public, plain = folder / "public.pem", folder / "list.json"
    public.write_bytes(keys.pem(signer.public))
    plain.write_bytes(data)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin"]
    command += ["-in", str(plain), "-sigfile", str(signature)]
    subprocess.run(command, check=True, capture_output=True)


def test_an_image_is_listed_by_what_a_bundle_has_of_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cyclonedx: Any,  # noqa: F811
) -> None:
    name, media = "docker.io/envoyproxy/envoy:v1.40.0", tmp_path / "media"
    image = build([layer({"envoy": b"x"})])
    tar = archive(tmp_path / "images.tar", {name: image})
    command = ["images", "save", name, "--archive", tar, "--out", media, "--no-chart"]
    assert main([*map(str, command), "--json"]) == 0
    capsys.readouterr()
    given = ("--target", "kots", "--out", tmp_path / "out", "--images", media)
    code, told, err = said(capsys, *given)
    assert code == 0
    bom = json.loads(Path(told["result"]["bom"]).read_bytes())
    assert [error.message for error in cyclonedx.iter_errors(bom)] == []
    parts = {each["bom-ref"]: each for each in bom["components"]}
    envoy = parts[f"image/{name}"]
    (found,) = envoy["hashes"]
    assert f"sha256:{found['content']}" == image.digest
    assert f"envoy@sha256%3A{found['content']}?" in envoy["purl"]
    (size,) = envoy["properties"]
    assert int(size["value"]) == sum(map(len, image.blobs.values())) - len(image.manifest)
    assert "hashes" not in parts["image/quay.io/keycloak/keycloak:26.7.3"]
    assert "warning: the bundle has no docker.io/library/postgres:" in err


def test_no_license_is_named_that_only_another_maker_knows(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    vendor: Path,
    cyclonedx: Any,  # noqa: F811
) -> None:
    other = {"minio": {"image": {"repository": "acme/s3", "tag": "1"}}}
    vendor.write_text(yaml.safe_dump(other))
    files = {**OPERATOR, "gpu-operator/Chart.yaml": annotated("LicenseRef-Acme, see there")}
    operator = tmp_path / "operator.tgz"
    operator.write_bytes(content(files))
    given = ("--target", "ec3", "--values", vendor, "--gpu-operator", operator)
    code, told, _ = said(capsys, *given, "--out", tmp_path / "out")
    assert code == 0
    bom = json.loads(Path(told["result"]["bom"]).read_bytes())
    assert [error.message for error in cyclonedx.iter_errors(bom)] == []
    parts = {each["bom-ref"]: each for each in bom["components"]}
    without = {name for name, each in parts.items() if "licenses" not in each}
    assert without == {
        "image/waybill.local/acme/s3:1",
        *(f"image/{name}" for name in OPERATOR_IMAGES),
    }
    (declared,) = parts["chart/gpu-operator"]["licenses"]
    assert declared == {"license": {"name": "LicenseRef-Acme, see there"}}
    assert parts["file/gpu-operator-v26.7.0.tgz"]["licenses"] == [declared]


def annotated(license_name: str) -> str:
    about = yaml.safe_load(OPERATOR["gpu-operator/Chart.yaml"])
    about["annotations"] = {"artifacthub.io/license": license_name}
    return yaml.safe_dump(about)


@pytest.mark.parametrize("target", ["kots", "ec2"])
def test_an_operator_whose_images_would_stay_outside_is_refused(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--target", target, "--gpu-operator", "any.tgz", "--out", tmp_path / "out")
    code, told, _ = said(capsys, *given)
    assert (code, told["error"]["code"]) == (2, "BadValue")
    assert (
        "its images are in no air-gapped bundle: install the operator apart"
        in (told["error"]["message"])
    )
    assert not (tmp_path / "out").exists()


def test_images_that_nobody_can_pull_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "--target", "kots", "--out", tmp_path / "out")
    assert code == 0
    assert "warning: nobody can pull waybill.local/minio/minio:" in err
    assert "warning: the list of what is in it is not signed: give --key" in err


def test_what_cannot_be_rendered_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], vendor: Path
) -> None:
    vendor.write_text("gateway: {replicas: 'repl{{ ConfigOption \"gone\" }}'}\n")
    out = tmp_path / "out"
    code, told, _ = said(capsys, "--target", "kots", "--out", out, "--values", vendor)
    assert (code, told["error"]["code"]) == (1, "HelmFailed")
    assert not out.exists()


def test_a_cluster_version_that_can_be_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, told, _ = said(capsys, "--target", "ec2", "--out", out, "--cluster-version", "newest")
    assert (code, told["error"]["code"]) == (2, "ReleaseRefused")
    assert "'newest' can be none" in told["error"]["message"]
    assert not out.exists()


def test_a_release_of_others_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in options("{name: a, type: number}").items():
        (tmp_path / name).write_text(str(text))
    code, told, _ = said(capsys, "--lint", tmp_path)
    assert code == 2
    found = {each["rule"]: each["level"] for each in told["result"]["findings"]}
    assert found["config-option-invalid-type"] == "error"
    assert found["preflight-spec"] == found["application-spec"] == "warn"
    assert main(["package", "--lint", str(tmp_path)]) == 2
    table = capsys.readouterr().out
    assert "error  config-option-invalid-type" in table
    lint = "apiVersion: kots.io/v1beta1\nkind: LintConfig\nspec:\n  rules:\n"
    off = '    - {name: config-option-invalid-type, level: "off"}\n'
    (tmp_path / "lint.yaml").write_text(lint + off)
    code, told, _ = said(capsys, "--lint", tmp_path)
    assert code == 0
    assert "config-option-invalid-type" not in {each["rule"] for each in told["result"]["findings"]}


def test_two_images_of_one_last_part_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], vendor: Path
) -> None:
    vendor.write_text("gateway: {image: {repository: other/keycloak, tag: 26.7.3}}\n")
    code, told, _ = said(capsys, "--target", "kots", "--out", tmp_path / "out", "--values", vendor)
    assert (code, told["error"]["code"]) == (2, "ImagesCollide")
    assert said(capsys, "--target", "ec3", "--out", tmp_path / "b", "--values", vendor)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--target", "kots"], "a release needs a new folder"),
        (
            ["--target", "kots", "--out", "new", "--cluster-version", "3.0.0"],
            "brings no Kubernetes",
        ),
        (["--target", "kots", "--out", "."], "not an empty folder"),
        (["--lint", "nowhere"], "No such file"),
        (["--target", "ec3", "--out", "new", "--gpu-operator", "file"], "no archive of a chart"),
        (["--target", "ec3", "--out", "new", "--values", "file"], "no map of values"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart = CHART.absolute()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    code, told, _ = said(capsys, *arguments, "--chart", chart)
    assert code == 2
    assert why in told["error"]["message"]
    assert not (tmp_path / "new").exists()


def test_the_guide_s_commands_work_as_written(tmp_path: Path) -> None:
    commands = blocks((DOCS / "replicated.md").read_text())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *commands])],
        cwd=REPO,
        env={**os.environ, "HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the release breaks no rule" in done.stdout
    assert "Signature Verified Successfully" in done.stdout
    assert "warning" not in done.stderr
