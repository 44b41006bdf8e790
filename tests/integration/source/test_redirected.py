"""What a hub sends its clients on to: read with no credentials, gone on with, refused in words."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.utils._http import close_session

from tests.faults import BROKEN, CUT, faulty
from tests.integration.gateway.certificates import Authority
from tests.integration.source.website import Website, website
from tests.store_contents import noise
from waybill import digest as digests
from waybill.errors import SourceUnreachable
from waybill.source.base import Source, SourceFile
from waybill.source.connect import open_source
from waybill.source.reach import Reach

COMMIT = "c" * 40
DATA = noise(5_000_000, 11)
FILE = f"acme/demo/resolve/{COMMIT}/model.safetensors"


def told() -> bytes:
    """What a hub says of the model."""
    lfs = {"sha256": digests.of(DATA)[7:], "size": len(DATA), "pointerSize": 130}
    file = {"rfilename": "model.safetensors", "size": len(DATA), "lfs": lfs}
    return json.dumps({"id": "acme/demo", "sha": COMMIT, "siblings": [file]}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {"api/models/acme/demo/revision/main": told(), FILE: DATA}
    for path, data in contents.items():
        (tmp_path / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / path).write_bytes(data)
    return tmp_path / "files"


@pytest.fixture
def hub(folder: Path) -> Iterator[Website]:
    """Knows the model, and keeps nothing of it: below /moved/ it sends elsewhere."""
    knows = folder.parent / "hub/moved/api"
    shutil.copytree(folder / "api", knows)
    with website(knows.parents[1]) as site:
        yield site


@pytest.fixture
def elsewhere(folder: Path, hub: Website) -> Iterator[Website]:
    with website(folder) as site:
        hub.moved_to = site.url
        yield site


def at(hub: Website, reach: Reach | None = None) -> tuple[Source, SourceFile]:
    source = open_source(f"hub+{hub.url}/moved#acme/demo", reach or Reach())
    return source, source.files()[0]


def test_it_gets_no_credentials_and_is_asked_for_the_rest_alone(
    hub: Website, elsewhere: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    source, file = at(hub)
    with source.open(file) as stream:
        assert stream.read() == DATA
    with source.open(file, 4_000_000) as stream:
        assert stream.read() == DATA[4_000_000:]
    ranges = [span for *_, span, _ in elsewhere.asked]
    assert (ranges, elsewhere.tokens()) == ([None, "bytes=4000000-"], {None})
    assert hub.tokens() == {"Bearer secret"}
    elsewhere.plain = True
    with source.open(file, 4_000_000) as stream:
        assert stream.read() == DATA[4_000_000:]


def test_a_line_that_breaks_is_gone_on_with_by_a_new_link(hub: Website, elsewhere: Website) -> None:
    with faulty(elsewhere.url) as line:
        hub.moved_to = line.endpoint
        source, file = at(hub)
        for what in (CUT, BROKEN):
            line.next(what, lambda _, path: path.endswith(FILE))
            asked = len(hub.asked)
            with source.open(file) as stream:
                assert stream.read() == DATA
            assert (line.done[what], len(hub.asked) - asked) == (1, 2)


def test_what_is_refused_there_is_not_put_down_to_our_token_and_shows_no_link(
    hub: Website, elsewhere: Website
) -> None:
    source, file = at(hub)
    elsewhere.accepts = "Bearer other"
    with pytest.raises(SourceUnreachable) as caught, source.open(file) as stream:
        stream.read()
    assert f"{elsewhere.url} answered 401" in str(caught.value)
    assert "resolve" not in str(caught.value)
    shutil.rmtree(elsewhere.folder)
    (elsewhere.folder / FILE).parent.mkdir(parents=True)
    (elsewhere.folder / FILE).write_bytes(DATA[:-1])
    elsewhere.accepts = None
    with pytest.raises(SourceUnreachable, match="it sends 4999999 bytes of a file of 5000000"):
        source.open(file).read()


@pytest.mark.parametrize("target", ["http://[", "http://127.0.0.1:99999999"])
def test_a_place_that_is_none_is_told_in_a_sentence(target: str, hub: Website) -> None:
    source, file = at(hub)
    hub.moved_to = target
    with pytest.raises(SourceUnreachable):
        source.open(file).read()


def test_circles_are_left(hub: Website) -> None:
    source, file = at(hub)
    hub.moved_to = f"{hub.url}/moved/moved"
    with pytest.raises(SourceUnreachable, match="it redirects more than 10 times"):
        source.open(file).read()


def test_a_proxy_of_the_environment_is_used_unless_it_is_passed_by(
    hub: Website, elsewhere: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.moved_to = "http://files.example"
    with faulty(elsewhere.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint.replace("//", "//robot:secret@"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        close_session()  # It has read the environment when it began.
        source, file = at(hub)
        with source.open(file) as stream:
            assert stream.read() == DATA
        assert proxy.count(lambda _, path: path.endswith(FILE)) == 1
        # By the rules of the one client for both: of addresses, too.
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        close_session()
        hub.moved_to = elsewhere.url
        source, file = at(hub)
        with source.open(file) as stream:
            assert stream.read() == DATA
        assert proxy.count(lambda _, path: path.endswith(FILE)) == 1
    close_session()


@pytest.mark.usefixtures("default_client")
def test_it_has_to_be_trusted_and_https_is_never_left_for_http(
    hub: Website, elsewhere: Website, tmp_path: Path
) -> None:
    for name in ("ours", "others"):
        authority = Authority.new()
        authority.context("localhost", tmp_path / name)
        (tmp_path / f"{name}.crt").write_text(authority.pem)
    trusting = Reach(ca_bundle=str(tmp_path / "ours.crt"))
    with website(elsewhere.folder, tmp_path / "ours") as safe:
        hub.moved_to = safe.url
        source, file = at(hub, trusting)
        with source.open(file) as stream:
            assert stream.read() == DATA
        with website(elsewhere.folder, tmp_path / "others") as strange:
            hub.moved_to = strange.url
            with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                source.open(file).read()
            assert not strange.asked
        hub.moved_to = f"{safe.url}/moved"
        safe.moved_to = elsewhere.url
        with pytest.raises(SourceUnreachable, match="it redirects from https to http"):
            source.open(file).read()
    assert not elsewhere.asked
