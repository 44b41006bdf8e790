"""Files of a real web server: one or a list of them, credentials, redirects, faults."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import CUT, faulty, gets
from tests.integration.bundle.conftest import Process
from tests.integration.gateway.certificates import Authority
from tests.integration.source.conftest import (
    FILES,
    PART_SIZE,
    Pack,
    contents,
    packed_from_directory,
)
from tests.integration.source.website import Website, website
from tests.store_contents import noise
from tests.unit.clock import Time
from waybill.digest import PIECE
from waybill.errors import (
    BadFile,
    BadSums,
    Corrupt,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
)
from waybill.source import streams, web
from waybill.source.base import Origin
from waybill.source.connect import open_source
from waybill.source.credentials import basic
from waybill.source.reach import Reach

Refused = Callable[..., tuple[int, str]]
MODEL = FILES["model.safetensors"]


@pytest.fixture
def site(sums: Path) -> Iterator[Website]:
    with website(sums) as site:
        yield site


@pytest.fixture
def other(sums: Path) -> Iterator[Website]:
    """The same files on another server."""
    with website(sums) as site:
        yield site


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.crt, and below server/ and client/ what it has signed."""
    folder = tmp_path_factory.mktemp("authority")
    made = Authority.new()
    (folder / "ca.crt").write_text(made.pem)
    for name, host in (("server", "localhost"), ("client", "packer")):
        made.context(host, folder / name)
    return folder


def test_a_file_is_packed_under_its_own_name(site: Website) -> None:
    source = open_source(f"{site.url}/model.safetensors")
    assert contents(source) == {"model.safetensors": MODEL}
    assert source.origin == Origin(f"{site.url}/model.safetensors")
    assert str(source) == f"{site.url}/model.safetensors"


def test_a_name_is_decoded_for_the_bundle_and_encoded_for_the_server(site: Website) -> None:
    source = open_source(f"{site.url}/1_Pooling/na%C3%AFve%20name.txt")
    assert contents(source) == {"na\u00efve name.txt": b"accents and a space\n"}


def test_all_that_a_list_names_is_packed_with_its_digests(site: Website) -> None:
    source = open_source(f"{site.url}/SHA256SUMS")
    assert contents(source) == FILES
    assert all(file.digest for file in source.files())
    assert source.origin.license == "apache-2.0"


def test_a_list_gives_the_revision_that_the_directory_gives(
    site: Website, sums: Path, pack: Pack
) -> None:
    bundle = pack(f"{site.url}/SHA256SUMS", "--as", "acme/demo")
    expected = packed_from_directory(pack, sums, "--exclude", "SHA256SUMS")
    assert bundle.index.revisions[0].manifest.commit == expected


def test_a_file_that_is_not_as_pinned_is_refused(site: Website, refused: Refused) -> None:
    url, wrong = f"{site.url}/config.json", "00" * 32
    code, said = refused(url, "--as", "a/b", "--source-sha256", wrong)
    assert code == 4
    assert f"config.json from {url} is corrupt: expected sha256:{wrong}" in said


def test_a_list_that_is_not_as_pinned_is_refused(site: Website) -> None:
    source = open_source(f"{site.url}/SHA256SUMS", Reach(sha256="00" * 32))
    with pytest.raises(Corrupt, match="SHA256SUMS is corrupt"):
        source.files()


def test_a_file_that_is_not_as_listed_is_refused(
    site: Website, sums: Path, refused: Refused
) -> None:
    (sums / "model.safetensors").write_bytes(MODEL[:-1] + b"x")
    code, said = refused(f"{site.url}/SHA256SUMS", "--as", "a/b")
    assert code == 4
    assert "model.safetensors from" in said


def test_a_page_in_place_of_a_list_is_told(site: Website, sums: Path) -> None:
    (sums / "SHA256SUMS").write_text("<html>sign in</html>\n")
    with pytest.raises(BadSums, match="line 1 is none of sha256sum's"):
        open_source(f"{site.url}/SHA256SUMS").files()


def test_what_is_not_there_is_told(site: Website, sums: Path) -> None:
    with pytest.raises(SourceNotFound, match="answered 404 Not Found"):
        open_source(f"{site.url}/missing").files()
    (sums / "config.json").unlink()
    with pytest.raises(SourceNotFound):
        open_source(f"{site.url}/SHA256SUMS").files()


def test_a_server_that_is_away_is_told() -> None:
    with pytest.raises(SourceUnreachable, match=r"http://127\.0\.0\.1:1/x cannot be read"):
        open_source("http://127.0.0.1:1/x").files()


def test_a_busy_server_is_asked_again(site: Website) -> None:
    site.busy = len(streams.ASKING)
    assert open_source(f"{site.url}/config.json").files()
    site.busy = 100
    with pytest.raises(SourceUnreachable, match="answered 503 Service Unavailable"):
        open_source(f"{site.url}/config.json").files()


def test_a_server_that_says_when_to_come_again_is_asked_then(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After, or RateLimit as Hugging Face has it; what says nothing of that is only busy."""
    clock = Time()
    monkeypatch.setattr(web, "time", clock)
    site.tired = [{"Retry-After": "3"}, {"RateLimit": '"resolvers";r=0;t=40'}]
    source = open_source(f"{site.url}/config.json")
    assert source.files()
    assert (clock.now, len(site.asked)) == (43, 3)
    site.tired = [{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}]
    assert open_source(f"{site.url}/config.json").files()
    site.tired = [{"Retry-After": "250"}] * 100
    with pytest.raises(SourceUnreachable, match="answered 429 Too Many Requests"):
        open_source(f"{site.url}/config.json").files()
    assert clock.now <= 43 + 2 * 300 * (1 + len(streams.ASKING)), "HEAD and GET, each once"
    site.tired = [{"Retry-After": "1000"}] * 100
    before = clock.now
    with pytest.raises(SourceUnreachable, match="answered 429 Too Many Requests"):
        open_source(f"{site.url}/config.json").files()
    assert clock.now == before, "nobody waits that long"


def test_a_connection_that_breaks_is_gone_on_with_by_range(site: Website) -> None:
    with faulty(site.url) as line:
        source = open_source(f"{line.endpoint}/model.safetensors")
        (file,) = source.files()
        line.next(CUT, gets, times=3)
        with source.open(file) as stream:
            assert stream.read() == MODEL
    assert line.done[CUT] == 3
    assert sum(range_ is not None for _, _, range_, _ in site.asked) == 3


def test_a_packing_that_was_killed_goes_on_in_the_middle_of_a_file(
    tmp_path: Path, pack: Pack
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.safetensors").write_bytes(noise(3 * PIECE, 5))
    out = tmp_path / "out"
    with website(tmp_path / "files") as site:
        arguments = (f"{site.url}/a.safetensors", "--as", "acme/demo", "--part-size", PART_SIZE)
        process = Process(("pack", *arguments, "--out", out))
        assert process.kill_when(lambda: (out / "part-00001.tar").exists())
        site.asked.clear()
        bundle = pack(*arguments)
    # The first part is not written again; its bytes are read for the digest of the whole file.
    assert [span for method, _, span, _ in site.asked if method == "GET"] == [
        None,
        f"bytes={PIECE}-",
        f"bytes={2 * PIECE}-",
    ]
    expected = pack(tmp_path / "files", *arguments[1:], out="from-directory")
    assert bundle.index.parts == expected.index.parts


def test_a_file_that_changes_meanwhile_is_never_mixed(site: Website, sums: Path) -> None:
    source = open_source(f"{site.url}/model.safetensors")
    (file,) = source.files()
    (sums / "model.safetensors").write_bytes(MODEL[::-1])
    for offset in (0, 1000):
        with pytest.raises(SourceChanged, match=r"model.safetensors changed"):
            source.open(file, offset).read()


def test_a_server_without_ranges_is_read_from_the_beginning(site: Website, sums: Path) -> None:
    site.plain = True
    source = open_source(f"{site.url}/model.safetensors")
    assert contents(source) == {"model.safetensors": MODEL}
    (file,) = source.files()
    (sums / "model.safetensors").write_bytes(MODEL + b"more")
    assert not source.is_unchanged(file)


# Credentials.


def closed(site: Website) -> SourceRefused:
    with pytest.raises(SourceRefused) as caught:
        open_source(f"{site.url}/config.json").files()
    return caught.value


def test_without_credentials_a_closed_server_is_told_and_what_to_check(site: Website) -> None:
    site.accepts = "Bearer right"
    error = closed(site)
    assert "answered 401 Unauthorized" in str(error)
    assert "WAYBILL_HTTP_TOKEN" in error.advice


def test_a_token_is_taken_from_its_variable_or_its_file(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.accepts = "Bearer right"
    (tmp_path / "token").write_text("right\n")
    url = f"{site.url}/config.json"
    assert contents(open_source(url, Reach(token_file=str(tmp_path / "token"))))
    monkeypatch.setenv("WAYBILL_HTTP_TOKEN", "right")
    assert contents(open_source(url))


def test_a_name_and_a_password_are_taken_from_netrc(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.accepts = basic("robot", "pass word")
    netrc = tmp_path / "home" / ".netrc"
    netrc.write_text('machine 127.0.0.1 login robot password "pass word"\n')
    netrc.chmod(0o600)
    assert contents(open_source(f"{site.url}/config.json"))
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))
    closed(site)
    netrc.write_text("machine 127.0.0.1 login robot surprise hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(BadFile, match="it is no netrc file") as caught:
        open_source(f"{site.url}/config.json")
    assert "hunter2" not in str(caught.value)


def test_credentials_never_follow_to_another_server(
    site: Website, other: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_HTTP_TOKEN", "right")
    site.accepts, site.moved_to = "Bearer right", other.url
    assert contents(open_source(f"{site.url}/moved/config.json"))
    assert other.tokens() == {None}
    assert site.tokens() == {"Bearer right"}
    # On the same server they stay.
    site.moved_to = site.url
    assert contents(open_source(f"{site.url}/moved/config.json"))


def test_another_server_that_refuses_is_not_put_down_to_our_credentials(
    site: Website, other: Website
) -> None:
    site.moved_to, other.accepts = other.url, "Bearer other"
    with pytest.raises(SourceUnreachable, match=f"{other.url} answered 401"):
        open_source(f"{site.url}/moved/config.json").files()


def test_a_server_that_sends_in_circles_is_left(site: Website) -> None:
    site.moved_to = f"{site.url}/moved/moved"
    with pytest.raises(SourceUnreachable, match="it redirects more than 10 times"):
        open_source(f"{site.url}/moved/config.json").files()


def test_the_server_has_to_be_trusted(sums: Path, authority: Path) -> None:
    with website(sums, authority / "server") as site:
        url = f"{site.url}/config.json"
        with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            open_source(url).files()
        assert contents(open_source(url, Reach(ca_bundle=str(authority / "ca.crt"))))


def test_https_is_never_left_for_http(site: Website, sums: Path, authority: Path) -> None:
    with website(sums, authority / "server") as safe:
        safe.moved_to = site.url
        source = open_source(
            f"{safe.url}/moved/config.json", Reach(ca_bundle=str(authority / "ca.crt"))
        )
        with pytest.raises(SourceUnreachable, match="it redirects from https to http"):
            source.files()
    assert not site.asked


@pytest.mark.parametrize("kind", ["hf", "hub"])
def test_neither_is_it_by_a_hub(kind: str, site: Website, sums: Path, authority: Path) -> None:
    ca_bundle = str(authority / "ca.crt")
    with website(sums, authority / "server") as safe:
        safe.moved_to = site.url
        hub = f"{safe.url}/moved"
        source = (
            open_source("hf://acme/demo", Reach(endpoint=hub, ca_bundle=ca_bundle))
            if kind == "hf"
            else open_source(f"hub+{hub}#acme/demo", Reach(ca_bundle=ca_bundle))
        )
        with pytest.raises(SourceUnreachable, match="it redirects from https to http"):
            source.files()
        assert safe.asked
    site.moved_to = f"{site.url}/there"
    with pytest.raises(SourceNotFound, match="answered 404"):
        open_source(f"hub+{site.url}/moved#acme/demo").files()
    assert site.asked[-1][1] == "/there/api/models/acme/demo/revision/main"
    assert len(site.asked) == 2


def test_a_client_certificate_opens_and_is_shown_to_its_server_alone(
    sums: Path, authority: Path
) -> None:
    ca, client = authority / "ca.crt", authority / "client"
    known = Reach(
        ca_bundle=str(ca),
        client_certificate=str(client / "tls.crt"),
        client_key=str(client / "tls.key"),
    )
    with website(sums, authority / "server", clients_of=ca) as site:
        url = f"{site.url}/config.json"
        with pytest.raises(SourceUnreachable):
            open_source(url, Reach(ca_bundle=str(ca))).files()
        assert contents(open_source(url, known))
        with website(sums, authority / "server") as first:
            first.moved_to = site.url
            with pytest.raises(SourceUnreachable):
                open_source(f"{first.url}/moved/config.json", known).files()


def test_a_proxy_of_the_environment_is_used(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    host = site.url.removeprefix("http://")
    with faulty(site.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        monkeypatch.setenv("NO_PROXY", "")
        assert contents(open_source("http://files.example/config.json"))
        asked = len(proxy.seen)
        assert asked
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert contents(open_source(f"http://{host}/config.json"))
        assert len(proxy.seen) == asked
