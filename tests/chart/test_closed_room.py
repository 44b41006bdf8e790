"""The first page, inside with Helm and with Replicated, as far as no cluster is asked.

How it ends with an answered chat: tests/integration/compose and tests/e2e.
"""

from pathlib import Path

import pytest
import yaml

from tests.chart import replicated
from tests.chart.rendering import HELM
from tests.chart.replicated import installed
from tests.images import archive, of_the_chart
from tests.pages import CARRIED, DOCS, blocks, key_line, shell
from tests.services import needs
from waybill.deliver.images.listing import images_of
from waybill.deliver.installer.lint import Folder
from waybill.deliver.installer.release import Release
from waybill.deliver.installer.targets import TARGETS
from waybill.deliver.pins import Pins, Revision
from waybill.digest import from_hex

PAGE = (DOCS / "closed-room.md").read_text()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What the first part of the page leaves, without a model, and with small images."""
    _, project, save, carry = blocks(PAGE, "Outside", ("", "sh"))
    (tmp_path / "carry/media").mkdir(parents=True)
    archive(tmp_path / "carry/waybill.tar", of_the_chart())
    archive(tmp_path / "carry/minio.tar", {})
    run(tmp_path, "cd ~/carry", key_line(PAGE), project, "mv ../*.tar .", save, carry)
    return tmp_path


def run(home: Path, *commands: str, helm: str = "") -> str:
    return shell(home, CARRIED, *commands, WAYBILL_HELM=helm or needs(HELM[4]))


def test_what_helm_installs_comes_from_the_registry_of_the_room(home: Path) -> None:
    run(home, *blocks(PAGE, "Inside, with Helm"))
    objects = [one for one in yaml.safe_load_all((home / "inside/objects.yaml").read_text()) if one]
    found = images_of(objects)
    assert found
    assert all(name.startswith("registry.example.internal/") for name in found)
    (store,) = (one for one in objects if one["metadata"]["name"] == "waybill-minio-provision")
    assert store


def test_what_somebody_else_has_signed_does_not_come_in(home: Path) -> None:
    look, *_ = blocks(PAGE, "Inside, with Helm")
    begin, chart, *_ = look.splitlines()
    assert chart.startswith("waybill images chart")
    again = "waybill images save --env room --all --out ../media/bundle --archive waybill.tar"
    other = "openssl genpkey -algorithm ed25519 -out other.pem && chmod 600 other.pem"
    save = f"{again} --archive minio.tar --key other.pem"
    run(home, "cd ~/carry/project", other, save, begin, f"! {chart}")
    assert not (home / "inside/charts").exists()


def test_the_release_for_an_installer_breaks_no_rule(home: Path) -> None:
    said = run(home, *blocks(PAGE, "Inside, with Replicated"))
    assert "the release breaks no rule" in said
    assert (home / "carry/release/release/config.yaml").is_file()


def test_the_list_of_the_release_is_signed_by_the_key_of_the_page(home: Path) -> None:
    run(home, *blocks(PAGE, "Inside, with Replicated"))
    (listed,) = (home / "carry/release").glob("*.cdx.json")
    check = "openssl pkeyutl -verify -rawin -inkey ~/carry/key.pem"
    said = run(home, f"{check} -in {listed} -sigfile {listed}.sig")
    assert "Signature Verified Successfully" in said
    assert (home / "carry/key.pem").stat().st_mode & 0o077 == 0


def test_what_it_installs_serves_the_model_that_the_page_pins(home: Path) -> None:
    """Its own registry for each image that nobody else has, and an engine once pins are pasted."""
    run(home, *blocks(PAGE, "Inside, with Replicated"))
    folder = Folder.read(home / "carry/release/release")
    packed = {chart.name: chart for chart in folder.charts.values()}
    charts = (packed["waybill"], packed["waybill-settings"])
    release = Release(TARGETS["ec3"], charts, folder.files, ())
    revision = Revision("Qwen/Qwen3-0.6B", from_hex("ab" * 32), 10**9)
    form = {"pins": Pins().with_stable("chat", revision).text}
    patch = replicated.program(4)
    try:
        objects = installed(release, form, home).objects
    finally:
        patch.undo()
    kinds = [each["kind"] for each in objects if "vllm-chat-" in each["metadata"]["name"]]
    assert sorted(kinds) == ["Deployment", "Service"]
    assert not [name for name in images_of(objects) if "waybill.local" in name]
