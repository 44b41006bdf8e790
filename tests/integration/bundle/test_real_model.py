"""all-MiniLM-L6-v2 through the whole way; its commit is the same for everybody, for ever."""

from pathlib import Path

from tests.integration.bundle.conftest import Process, commit_in
from tests.unit.bundle.bundles import bytes_below

REPO = "sentence-transformers/all-MiniLM-L6-v2"
COMMIT = "77adfce157e4b147f4816b923ac1edf8f975c554"
"""Of exactly these files. Another one means that the manifest's format has changed."""


def test_a_real_model_arrives_as_it_left(minilm: Path, tmp_path: Path) -> None:
    bundle, store, back = (tmp_path / name for name in ("bundle", "store", "back"))
    options = ("--as", REPO, "--part-size", "68MB", "--out", bundle)
    assert commit_in(Process(("pack", minilm, *options)).run()) == COMMIT
    assert Process(("verify", bundle)).run().startswith("2 of 2 parts are good")
    Process(("store", "init", store)).run()
    assert commit_in(Process(("sideload", bundle, "--to", store)).run()) == COMMIT
    Process(("pull", f"{REPO}@{COMMIT}", "--from", store, "--out", back)).run()
    assert bytes_below(back, but=[".cache"]) == bytes_below(minilm)
