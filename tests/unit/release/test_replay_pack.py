"""A promotion is packed from where it was made: no more than the plan has to be named."""

from pathlib import Path

import pytest

from tests.unit.release.test_replay import Side, inside, outside
from tests.unit.release.world import OTHER, REPO

__all__ = ["inside", "outside"]  # Fixtures.

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"w" * 100,
    "onnx/model.onnx": b"o" * 100,
    "pytorch_model.bin": b"p" * 100,
}
"""With some that are left out, unless somebody wants them."""


@pytest.fixture
def applied(outside: Side, tmp_path: Path) -> Path:
    """The plan of a promotion of two models; one has files that packing leaves out by itself."""
    outside.world.pin("dev", outside.world.revision("dev", 5, OTHER).commit, "embed", OTHER)
    model = tmp_path / "model"
    for name, data in FILES.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(data)
    words = ("--as", str(REPO), "--include", "*", "--allow-pickle", "--to", "dev")
    outside.run("sideload", model, *words)
    commit = outside.world.store("dev").resolve(REPO, "main")
    outside.world.pin("dev", commit)
    plan = tmp_path / "plan.json"
    outside.run("plan", "--from", "dev", "--to", "test", "--out", plan)
    outside.run("apply", plan)
    return plan


def test_each_model_of_a_plan_crosses_as_it_was_promoted(
    outside: Side, inside: Side, applied: Path, tmp_path: Path
) -> None:
    (inside.world.project / "values/policy.yaml").unlink()
    bundles = {model: tmp_path / f"bundle-{model}" for model in ("chat", "embed")}
    for model, bundle in bundles.items():
        words = ("--plan", applied, "--model", model, "--key", outside.key)
        told = outside.run("pack", *words, "--out", bundle)
        assert told["commit"] == outside.world.stable("test", model)
        again = outside.run("pack", *words, "--out", bundle)
        assert again["reused"] == again["parts"] == 1
        inside.run("sideload", bundle, "--to", "test")
    inside.run("apply", bundles["embed"])
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        assert inside.history(model, repo) == outside.history(model, repo) != []


@pytest.mark.parametrize("words", [(), ("--model", "other")])
def test_which_of_several_has_to_be_said(
    outside: Side, applied: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    out = ("--key", outside.key, "--out", tmp_path / "bundle")
    told = outside.run("pack", "--plan", applied, *words, *out, code=2)
    assert "the plan moves chat, embed: name one of them" in told["message"]
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("words", [("--as", "acme/other"), ("--exclude", "*"), ("--allow-pickle",)])
def test_what_a_plan_has_moved_goes_as_it_is(
    outside: Side, applied: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    named = ("--plan", applied, "--model", "chat", "--key", outside.key)
    told = outside.run("pack", *named, *words, "--out", tmp_path / "bundle", code=2)
    assert "goes whole, and under its own name" in told["message"]


def test_a_source_that_is_not_what_was_promoted_is_refused(
    outside: Side, applied: Path, tmp_path: Path
) -> None:
    """Its bundle would have no promotion in it, which the other side alone would find."""
    commit = outside.world.revision("dev", 7).commit
    source = f"store+file://{outside.world.project}/stores/dev#{REPO}@{commit}"
    named = ("--plan", applied, "--key", outside.key, "--out", tmp_path / "bundle")
    told = outside.run("pack", source, *named, code=2)
    assert "it is not what the plan has moved" in told["message"]
    assert not (tmp_path / "bundle/bundle.json").exists()


def test_a_model_of_no_plan_is_refused(outside: Side, tmp_path: Path) -> None:
    told = outside.run("pack", tmp_path, "--model", "chat", "--out", tmp_path / "bundle", code=2)
    assert "it is one of a plan's models" in told["message"]


def test_a_bundle_is_applied_to_the_environment_that_was_meant(
    outside: Side, inside: Side, applied: Path, tmp_path: Path
) -> None:
    (inside.world.project / "values/policy.yaml").unlink()
    bundle = tmp_path / "bundle"
    outside.run(
        "pack", "--plan", applied, "--model", "embed", "--key", outside.key, "--out", bundle
    )
    inside.run("sideload", bundle, "--to", "test")
    told = inside.run("apply", bundle, "--to", "dev", code=3)
    assert "no signed history" in told["message"]
