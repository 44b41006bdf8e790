"""A model from its source into an environment: store, values and pins, in this order."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.printed import printed
from tests.unit.bundle.bundles import FILES, write
from tests.unit.release.world import World
from waybill.bundle.sideload import Loading
from waybill.cli.main import main
from waybill.deliver import values
from waybill.errors import BadFile
from waybill.store.layout import Ref, RepoId

DEMO = RepoId("acme", "demo")
VALUES = """\
# Why dev is as it is.
global:
  models:
    chat:  # the one that people talk to
      enabled: false
      engineArgs: {max-model-len: 4096}
  imageRegistry: "registry.example"

minio: {storage: {size: 20Gi}}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


@pytest.fixture
def path(world: World) -> Path:
    path = world["dev"].values_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(VALUES)
    return path


class Command:
    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self._world, self._capsys = world, capsys
        self.err = ""

    def __call__(self, *words: object, code: int = 0) -> dict[str, Any]:
        project = ("--project", str(self._world.project), "--json")
        assert main(["deploy", *map(str, words), "--env", "dev", *project]) == code
        told = self._capsys.readouterr()
        self.err = told.err
        result: dict[str, Any] = printed(told.out).get("result", {})
        return result


@pytest.fixture
def deploy(world: World, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(world, capsys)


def test_the_model_is_stored_enabled_and_pinned(
    world: World, path: Path, model: Path, deploy: Command
) -> None:
    told = deploy("chat", "--source", model, "--as", "acme/demo", "--hardware", "cpu")
    assert world.stable("dev") == world.ref("dev", repo=DEMO) == told["commit"]
    head = world.store("dev").head(DEMO, Ref("heads", "main"))
    assert head and head.commit == told["commit"]
    assert path.read_text() == VALUES.replace(
        "      enabled: false\n      engineArgs: {max-model-len: 4096}\n",
        "      enabled: true\n      engineArgs: {max-model-len: 4096}\n"
        f"      source: {model}\n      profile: cpu\n",
    )


def test_the_values_file_remembers_the_source(
    world: World, path: Path, model: Path, deploy: Command
) -> None:
    first = deploy("chat", "--source", model, "--as", "acme/demo")
    text = path.read_text()
    (model / "config.json").write_text("{}\n")
    second = deploy("chat")
    assert second["commit"] != first["commit"]
    assert world.stable("dev") == second["commit"]
    assert path.read_text() == text


def test_what_an_import_has_brought_is_deployed_from_the_store_itself(
    world: World, path: Path, model: Path, deploy: Command
) -> None:
    """A claim's way: a Job loads it, and `deploy` cannot read where it came from."""
    loaded = deploy("chat", "--source", model, "--as", "acme/demo")
    path.write_text(VALUES)
    source = f"store+{world.store('dev').url}#acme/demo@main"
    told = deploy("chat", "--source", source)
    assert (told["commit"], told["blobs"]) == (loaded["commit"], 0)
    text = path.read_text()
    assert f'source: "{source}"' in text and "enabled: true" in text


def test_an_override_is_for_once(
    world: World, path: Path, model: Path, deploy: Command, tmp_path: Path
) -> None:
    deploy("chat", "--source", model, "--as", "acme/demo")
    text = path.read_text()
    other = write(tmp_path / "usb", {**FILES, "config.json": b'{"from": "a stick"}\n'})
    told = deploy("chat", "--source-override", other)
    assert world.stable("dev") == told["commit"]
    assert path.read_text() == text


def test_a_manifest_s_source_is_kept_and_overridden_as_one_that_is_said(
    path: Path, model: Path, deploy: Command, tmp_path: Path
) -> None:
    manifest = tmp_path / "import.yaml"
    manifest.write_text("source: ./model\nas: acme/demo\n")
    other = write(tmp_path / "usb", {**FILES, "config.json": b'{"from": "a stick"}\n'})
    first = deploy("chat", "--manifest", manifest, "--source-override", other)
    assert f"      source: {model}\n" in path.read_text()
    assert deploy("chat")["commit"] != first["commit"]


def test_a_path_means_the_same_wherever_the_next_command_begins(
    world: World, path: Path, model: Path, deploy: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    first = deploy("chat", "--source", "./model", "--as", "acme/demo")
    assert f"      source: {model}\n" in path.read_text()
    write(world.project / "model", FILES)
    monkeypatch.chdir("/")
    assert deploy("chat")["commit"] == first["commit"]
    path.write_text(path.read_text().replace(str(model), "./model"))
    assert deploy("chat")["commit"] == first["commit"]


def test_what_people_write_while_the_bytes_are_on_their_way_stays(
    path: Path, model: Path, deploy: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Loading.run

    def slow(loading: Loading, *given: Any) -> Any:
        path.write_text(VALUES.replace("4096", "2048"))
        return load(loading, *given)

    monkeypatch.setattr(Loading, "run", slow)
    deploy("chat", "--source", model, "--as", "acme/demo")
    assert "max-model-len: 2048" in path.read_text() and "enabled: true" in path.read_text()


def test_a_dry_run_changes_nothing(
    world: World, path: Path, model: Path, deploy: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("chat", "--source", str(model), "--as", "acme/demo", "--dry-run")
    told = deploy(*words)
    assert told["blobs"] > 0
    assert main(["deploy", *words, "--env", "dev", "--project", str(world.project)]) == 0
    assert f"; it would edit {path}" in capsys.readouterr().out
    assert path.read_text() == VALUES
    assert world.stable("dev") is None
    assert not list(world.store("dev").revisions(DEMO))


def test_a_file_that_is_not_there_is_made(world: World, model: Path, deploy: Command) -> None:
    path = world["dev"].values_path
    path.unlink(missing_ok=True)
    deploy("chat", "--source", model, "--as", "acme/demo")
    entry = {"enabled": True, "source": str(model)}
    assert yaml.safe_load(path.read_text()) == {"global": {"models": {"chat": entry}}}


def test_a_model_without_a_source_is_told(path: Path, deploy: Command) -> None:
    assert path.exists()
    deploy("chat", code=2)
    assert "global.models.chat of" in deploy.err


def test_another_repo_is_refused_before_the_first_byte(
    world: World, path: Path, model: Path, deploy: Command
) -> None:
    assert path.exists()
    deploy("chat", "--source", model, "--as", "acme/demo")
    (model / "config.json").write_text("{}\n")
    deploy("chat", "--as", "acme/other", code=2)
    assert not list(world.store("dev").revisions(RepoId("acme", "other")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list\n", "it is not a map"),
        ("global: {models: [chat]}\n", "models is not a map"),
        ("global: {models: {chat: yes please}}\n", "global.models.chat is not a map"),
        ("a: [\n", "it is not YAML text"),
        ("a: 1\na: 2\n", "it is not YAML text"),
    ],
)
def test_values_that_hold_no_models_are_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text(text)
    with pytest.raises(BadFile, match=told):
        values.with_model(path, "chat", {"enabled": True})


def test_a_source_that_is_no_text_is_told(path: Path, deploy: Command) -> None:
    path.write_text("global:\n  models:\n    chat:\n      source: {url: x}\n")
    deploy("chat", code=2)
    assert "global.models.chat.source of" in deploy.err


def test_a_source_that_is_remembered_gives_the_files_that_were_chosen(
    world: World, path: Path, model: Path, deploy: Command
) -> None:
    assert path.exists()
    first = deploy("chat", "--source", model, "--as", "acme/demo", "--exclude", "tokenizer.json")
    deploy("chat", code=2)
    assert "tokenizer.json is in it, and not pinned" in deploy.err
    assert world.stable("dev") == first["commit"]
    deploy("chat", "--exclude", "tokenizer.json")
    deploy("chat", "--source", model)
    assert world.stable("dev") != first["commit"]
