"""store init and pull, and what a store that is wrong is told to be."""

import socket
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import FILES, bytes_below
from tests.unit.bundle.test_pull import contents
from tests.unit.cli.conftest import Waybill
from waybill.cli.store import split_revision


@pytest.fixture
def loaded(waybill: Waybill, bundle: Path, store: Path) -> Path:
    assert waybill("sideload", bundle, "--to", store, "--tag", "v1").code == 0
    return store


def test_init_makes_a_store_once(waybill: Waybill, tmp_path: Path) -> None:
    url = (tmp_path / "new store").as_uri()
    ran = waybill("store", "init", url)
    assert (ran.code, ran.out) == (0, f"{url} is a store, with conditional writes\n")
    before = bytes_below(tmp_path / "new store")
    assert waybill("store", "init", url).code == 0
    assert bytes_below(tmp_path / "new store") == before


@pytest.mark.parametrize("revision", ["", "@main", "@v1", "@refs/heads/main"])
def test_pull_takes_any_name_of_a_revision(
    revision: str, waybill: Waybill, loaded: Path, tmp_path: Path
) -> None:
    ran = waybill("pull", f"acme/demo{revision}", "--from", loaded, "--out", tmp_path / "out")
    assert ran.code == 0
    assert "8 files fetched" in ran.out
    assert contents(tmp_path / "out") == FILES
    again = waybill("pull", "acme/demo", "--from", loaded, "--out", tmp_path / "out", "--json")
    assert (again.result["fetched"], again.result["kept"]) == (0, 8)


def test_pull_takes_a_commit(waybill: Waybill, loaded: Path, tmp_path: Path) -> None:
    dry = waybill("pull", "acme/demo", "--from", loaded, "--out", tmp_path, "--dry-run", "--json")
    commit = dry.result["commit"]
    assert dry.result["bytes"] == sum(map(len, FILES.values()))
    assert contents(tmp_path / "out") == {}
    ran = waybill("pull", f"acme/demo@{commit}", "--from", loaded, "--out", tmp_path / "out")
    assert ran.code == 0
    assert contents(tmp_path / "out") == FILES


def test_what_was_pulled_from_a_store_needs_no_hub(
    waybill: Waybill, loaded: Path, tmp_path: Path
) -> None:
    """An engine takes weights that somebody has brought."""
    out, hub = ("--out", tmp_path / "out"), ("--hub", "http://127.0.0.1:1", "--patience", 0)
    found = waybill("pull", "acme/demo", "--from", loaded, *out, "--json")
    name = f"acme/demo@{found.result['commit']}"
    ran = waybill("pull", name, *hub, *out, "--json")
    assert (ran.code, ran.result["kept"]) == (0, 8)
    (tmp_path / "out/config.json").unlink()
    assert waybill("pull", name, *hub, *out).code == 7


WRONG = {
    "an unknown repo": ("some/other", 2, "there is no repo some/other in file://"),
    "an unknown branch": ("acme/demo@next", 2, "acme/demo has no revision 'next' in file://"),
    "an unknown commit": (f"acme/demo@{'0' * 40}", 2, f"has no revision '{'0' * 40}'"),
    "a name that is none": ("acme/demo@../x", 2, "has no revision '../x'"),
    "a bare name": ("demo", 2, "repo 'demo' is not usable: it must be owner/name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_pull_says_what_it_cannot_find(
    what: str, waybill: Waybill, loaded: Path, tmp_path: Path
) -> None:
    revision, code, told = WRONG[what]
    ran = waybill("pull", revision, "--from", loaded, "--out", tmp_path / "out")
    assert ran.code == code
    assert told in ran.err
    assert not (tmp_path / "out").exists()


def test_pull_into_a_file_is_refused(waybill: Waybill, loaded: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    ran = waybill("pull", "acme/demo", "--from", loaded, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "File exists" in ran.err


def stores(tmp_path: Path) -> dict[str, tuple[list[str], int, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "plain").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "store.json").write_bytes(b"junk")
    (tmp_path / "newer").mkdir()
    newer = b'{"conditionalWrites":true,"format":2,"id":"x"}'
    (tmp_path / "newer" / "store.json").write_bytes(newer)
    (tmp_path / "weak").mkdir()
    weak = b'{"conditionalWrites":false,"format":1,"id":"x"}'
    (tmp_path / "weak" / "store.json").write_bytes(weak)
    return {
        "no such directory": ([f"{tmp_path}/none"], 2, "none is not a Waybill store"),
        "no store": ([f"{tmp_path}/plain"], 2, "plain is not a Waybill store"),
        "damaged": ([f"{tmp_path}/odd"], 2, "store.json cannot be used: it is damaged"),
        "newer": ([f"{tmp_path}/newer"], 2, "has store format 2, and this version knows only 1"),
        "weak": ([f"{tmp_path}/weak"], 2, "has no conditional writes, so moving a ref is not"),
        "another scheme": (["ftp://x/y"], 2, "store 'ftp://x/y' is not usable"),
        "away": (["s3://bucket", "--endpoint", nobody], 7, "the store s3://bucket cannot be reach"),
        "no environment": (["dev"], 2, "environments.yaml"),
    }


@pytest.mark.parametrize(
    "what",
    [
        "no such directory",
        "no store",
        "damaged",
        "newer",
        "weak",
        "another scheme",
        "away",
        "no environment",
    ],
)
def test_sideload_says_what_is_wrong_with_a_store_and_leaves_it(
    what: str, waybill: Waybill, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    options, code, told = stores(tmp_path)[what]
    before = bytes_below(tmp_path)
    ran = waybill("sideload", bundle, "--to", *options, "--project", tmp_path)
    assert ran.code == code
    assert told in ran.err
    assert "\nhint: " in ran.err
    assert bytes_below(tmp_path) == before


def test_without_credentials_the_sentence_says_so(
    waybill: Waybill, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    where = ["--to", "s3://bucket", "--endpoint", "http://127.0.0.1:1"]
    ran = waybill("sideload", bundle, *where)
    assert (ran.code, "the store s3://bucket refuses access" in ran.err) == (1, True)
    ran = waybill("sideload", bundle, *where, "--profile", "nobody")
    assert (ran.code, "(nobody) could not be found" in ran.err) == (1, True)


def test_a_weak_store_is_loaded_into_by_a_single_writer(
    waybill: Waybill, bundle: Path, tmp_path: Path
) -> None:
    stores(tmp_path)
    weak = tmp_path / "weak"
    assert waybill("sideload", bundle, "--to", weak, "--single-writer").code == 0


@pytest.mark.parametrize("name", ["a..b", "/x", "-x", "x" * 300, "a b", ""])
def test_a_branch_that_is_no_name_is_refused(
    name: str, waybill: Waybill, bundle: Path, store: Path
) -> None:
    ran = waybill("sideload", bundle, "--to", store, f"--branch={name}")
    assert ran.code == 2
    assert "a name is letters, digits" in ran.err
    assert not (store / "blobs").exists()


@pytest.mark.parametrize(
    ("text", "revision"), [("a/b", "main"), ("a/b@", "main"), ("a/b@v1", "v1"), ("a/b@x@y", "x@y")]
)
def test_a_revision_is_what_follows_the_first_at(text: str, revision: str) -> None:
    repo, found = split_revision(text)
    assert (str(repo), found) == ("a/b", revision)
