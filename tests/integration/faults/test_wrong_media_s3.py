"""Damaged media before a real MinIO, which checks the pieces of a signed bundle itself."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.faults.conftest import (
    Field,
    assert_loaded,
    assert_nothing_visible,
    assert_one_sentence,
    packing,
)
from tests.integration.faults.spoils import cut_short, flipped, names_a_file_of, overwritten
from tests.unit.sign.making import KINDS, asking, write_key
from waybill.bundle.format import INDEX
from waybill.sign.keys import Signer

SEED = 20261123
SPOILS = [*[flipped] * 28, *[cut_short] * 6, *[overwritten] * 6]


@pytest.fixture
def signed(field: Field, model: Path, tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    key = write_key(tmp_path / "key.pem", KINDS["ed25519"]())
    field.run(*packing(model, tmp_path / "signed"), "--key", key)
    return tmp_path / "signed", ("--trust", asking(tmp_path / "trust.yaml", Signer.load(key)))


@pytest.fixture(params=["unsigned", "signed"])
def media(request: pytest.FixtureRequest, bundle: Path) -> tuple[Path, tuple[object, ...]]:
    """A bundle, and the flags that let it in."""
    return request.getfixturevalue("signed") if request.param == "signed" else (bundle, ())


def test_nothing_of_it_is_visible_and_whole_media_finish_the_job(
    media: tuple[Path, tuple[object, ...]], field: Field, tmp_path: Path
) -> None:
    whole, flags = media
    rng, tally = random.Random(SEED), Counter[str]()  # noqa: S311 - not a secret
    for number, spoil in enumerate(SPOILS):
        bundle, store = Path(shutil.copytree(whole, tmp_path / "copy")), field.new(f"s{number}")
        name = spoil(bundle, rng)
        where = ("--to", store.url, "--endpoint", field.server.endpoint, *flags)
        command = field.start("sideload", bundle, *where)
        code = command.end()
        tally[f"{spoil.__name__} {name} {code}"] += 1
        if code:
            assert code == 4, command.said
            assert_one_sentence(command.said, "")
            assert name in command.said or names_a_file_of(whole, name, command.said)
            assert_nothing_visible(store)
            field.run("sideload", whole, *where)
        else:
            assert name != INDEX
        assert_loaded(store)
        shutil.rmtree(bundle)
    print(dict(tally))
