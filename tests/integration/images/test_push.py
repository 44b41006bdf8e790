"""Into a real registry: what it lacks, in pieces, over bad lines, and nothing twice."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults import BROKEN, CUT, DROP, LOSE, NOT_HERE, STALL, TOO_MANY, Faults, faulty
from tests.images import archive, build, digest_of, layer
from tests.integration.images.conftest import BASE, DATABASE, HUB, IMAGES, PIECE, Save, pulled
from tests.integration.source.registry import Registry, TokenService, registry_server
from tests.unit.bundle.bundles import flip
from tests.unit.cli.conftest import Waybill
from waybill import digest as digests
from waybill.bundle.media import Bundle
from waybill.digest import Digest
from waybill.source import streams, uploads, web
from waybill.source.begun import Begun


def test_images_are_where_pods_look_for_them_in_a_mirror(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    ran = waybill("images", "push", save(), "--to", f"{empty.host}/mirror", "--json")
    assert ran.code == 0, ran.err
    assert [one["name"] for one in ran.result["images"]] == [
        f"{empty.host}/mirror/acme/hub:1.0",
        f"{empty.host}/mirror/library/database:17",
    ]
    assert pulled(empty, "mirror/acme/hub", "1.0") == IMAGES[HUB]
    assert pulled(empty, "mirror/library/database", "17") == IMAGES[DATABASE]


def test_what_is_there_is_not_sent_again(empty: Registry, save: Save, waybill: Waybill) -> None:
    bundle = save()
    with faulty(f"http://{empty.host}") as wire:
        place = wire.endpoint.removeprefix("http://")
        assert waybill("images", "push", bundle, "--to", place, "--dry-run").code == 0
        assert wire.sent == 0
        assert waybill("images", "push", bundle, "--to", place).code == 0
        shared = len(BASE)
        assert shared < wire.sent < shared + 4 * PIECE, "the common layer went over the wire once"
        first = wire.sent
        ran = waybill("images", "push", bundle, "--to", place, "--json")
        assert (ran.code, ran.result["bytes"], wire.sent) == (0, 0, first)
        assert not any(one["new"] for one in ran.result["images"])


@pytest.mark.parametrize("fault", [LOSE, DROP, CUT, BROKEN, TOO_MANY])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_a_broken_line_is_gone_on_with(
    fault: str, method: str, empty: Registry, save: Save, waybill: Waybill
) -> None:
    with faulty(f"http://{empty.host}") as wire:
        wire.next(fault, lambda verb, _: verb == method, times=2)
        place = wire.endpoint.removeprefix("http://")
        ran = waybill("images", "push", save(), "--to", place)
    assert ran.code == 0, ran.err
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


WHOLE = sum(map(len, IMAGES[HUB].blobs.values()))


def is_upload(method: str, path: str) -> bool:
    """A piece of a blob, the last one included; no manifest."""
    return method in ("PATCH", "PUT") and "/blobs/uploads/" in path


def pushed(wire: Faults, waybill: Waybill, bundle: Path) -> None:
    ran = waybill("images", "push", bundle, "--to", wire.endpoint.removeprefix("http://"))
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("fault", [LOSE, DROP, BROKEN, TOO_MANY])
def test_what_has_come_is_not_sent_again(
    fault: str, method: str, empty: Registry, save: Save, waybill: Waybill
) -> None:
    bundle = save(HUB)
    with faulty(f"http://{empty.host}") as wire:
        wire.next(
            fault,
            lambda verb, path: verb == method and is_upload(verb, path) and wire.sent > 3 * PIECE,
        )
        pushed(wire, waybill, bundle)
        assert wire.done[fault] == 1
        assert WHOLE <= wire.sent < WHOLE + 100_000
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


def test_a_question_that_fails_once_gives_nothing_up(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    """The piece is refused, and then the question how much of the layer is there."""
    bundle = save(HUB)
    with faulty(f"http://{empty.host}") as wire:

        def breaks(verb: str, _: str) -> bool:
            return verb == ("GET" if wire.done[BROKEN] else "PATCH") and wire.sent > 3 * PIECE

        wire.next(BROKEN, breaks, times=2)
        pushed(wire, waybill, bundle)
        assert wire.done[BROKEN] == 2
        assert WHOLE <= wire.sent < WHOLE + 100_000


def test_a_line_may_break_any_number_of_times_while_bytes_arrive(
    empty: Registry, save: Save, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE", PIECE // 4)
    bundle = save(HUB)
    with faulty(f"http://{empty.host}") as wire:
        wire.next(LOSE, lambda verb, _: verb == "PATCH", times=1000)
        pushed(wire, waybill, bundle)
        assert wire.done[LOSE] > 3 * len(streams.READING)
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


def test_a_registry_may_take_its_time_to_store_a_layer(
    empty: Registry, save: Save, waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_TIMEOUT", 0.7)
    bundle = save(HUB)
    with faulty(f"http://{empty.host}") as wire:
        wire.pause = 1.5
        wire.next(STALL, lambda verb, path: verb == "PUT" and is_upload(verb, path))
        pushed(wire, waybill, bundle)
        assert wire.done[STALL] == 1
        assert wire.count(lambda verb, path: verb == "PUT" and is_upload(verb, path)) == 3


@pytest.mark.parametrize(
    ("fault", "times", "asked"),
    [(LOSE, 1, 2), (TOO_MANY, 1, 2), (BROKEN, 1000, 4), (DROP, 1000, 4), (NOT_HERE, 1000, 1)],
)
def test_a_layer_that_is_not_given_over_is_sent(
    fault: str, times: int, asked: int, empty: Registry, save: Save, waybill: Waybill
) -> None:
    def mounts(verb: str, path: str) -> bool:
        return verb == "POST" and "mount=" in path

    bundle = save()
    with faulty(f"http://{empty.host}") as wire:
        wire.next(fault, mounts, times)
        pushed(wire, waybill, bundle)
        assert wire.count(mounts) == asked
    assert pulled(empty, "library/database", "17") == IMAGES[DATABASE]


def test_a_rerun_goes_on_in_the_middle_of_a_layer(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    bundle = save(HUB)
    with faulty(f"http://{empty.host}") as wire:
        push = ("images", "push", bundle, "--to", wire.endpoint.removeprefix("http://"))
        wire.next(DROP, lambda verb, _: verb != "HEAD" and wire.sent > 6 * PIECE, times=1000)
        assert waybill(*push).code == 7
        first, wire.times = wire.sent, 0
        kept = list((tmp_path / "home/.local/state/waybill/uploads").iterdir())
        assert kept
        assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
        assert waybill(*push).code == 0
        assert wire.sent - first < 3 * PIECE
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]
    assert not any(path.exists() for path in kept)


def test_a_begun_upload_that_the_registry_forgot_begins_anew(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    bundle, push = save(HUB), ("images", "push", "--to", empty.host)
    begun = Begun(f"http://{empty.host}/acme/hub")
    place = f"http://{empty.host}/v2/acme/hub/blobs/uploads/forgotten?_state=x"
    begun.keep(Digest(digest_of(BASE)), place)
    assert begun.place(Digest(digest_of(BASE))) == place
    assert waybill(*push, bundle).code == 0
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


def test_what_was_begun_with_other_bytes_begins_anew(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    base = f"http://{empty.host}"
    with httpx.Client(base_url=base, trust_env=False) as client:
        begun = client.post("/v2/acme/hub/blobs/uploads/").headers["location"]
        place = client.patch(begun, content=bytes(PIECE)).headers["location"]
    Begun(f"{base}/acme/hub").keep(Digest(digest_of(BASE)), place)
    ran = waybill("images", "push", save(HUB), "--to", empty.host)
    assert ran.code == 0, ran.err
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


def test_a_rerun_after_the_server_has_gone_sends_the_rest(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    bundle = save()
    with faulty(f"http://{empty.host}") as wire:
        place = wire.endpoint.removeprefix("http://")
        wire.next(DROP, lambda verb, _: verb != "HEAD", times=1000)
        ran = waybill("images", "push", bundle, "--to", place)
        assert (ran.code, "a rerun sends only what is not there" in ran.err) == (7, True)
        wire.times = 0
        assert waybill("images", "push", bundle, "--to", place).code == 0
    assert pulled(empty, "library/database", "17") == IMAGES[DATABASE]


def test_a_damaged_part_is_named_and_nothing_wrong_arrives(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    bundle = save()
    shutil.copytree(bundle, tmp_path / "good")
    ((part, extent),) = Bundle.open([bundle]).index.places[Digest(digest_of(BASE))]
    flip(bundle / part.name, extent.at + 3 * PIECE)
    ran = waybill("images", "push", bundle, "--to", empty.host)
    assert ran.code == 4
    assert "images/blobs/sha256" in ran.err
    assert part.name in ran.err
    assert not empty.blob(digest_of(BASE)).exists()
    assert waybill("images", "push", tmp_path / "good", "--to", empty.host).code == 0
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


def test_parts_of_several_media_go_straight_from_there(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    bundle = save(options=("--part-size", 65 << 20))
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    (bundle / "part-00001.tar").unlink()
    ran = waybill("images", "push", bundle, "--to", empty.host)
    assert (ran.code, "part-00001.tar" in ran.err) == (2, True)
    assert waybill("images", "push", bundle, other, "--to", empty.host).code == 0
    assert pulled(empty, "acme/hub", "1.0") == IMAGES[HUB]


@pytest.mark.parametrize("repository", ["hub", "other"])
def test_a_bundle_of_changes_needs_what_came_before_where_it_goes(
    repository: str, empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    before = save()
    new = build([BASE, layer({"hub": b"another"})])
    name = f"example.com/acme/{repository}:1.1"
    later = archive(tmp_path / "later.tar", {name: new})
    arguments = ("images", "save", name, "--archive", later, "--no-chart")
    assert waybill(*arguments, "--base", before, "--out", tmp_path / "delta").code == 0
    ran = waybill("images", "push", tmp_path / "delta", "--to", empty.host)
    assert (ran.code, digest_of(BASE) in ran.err) == (2, True)
    assert waybill("images", "push", before, "--to", empty.host).code == 0
    ran = waybill("images", "push", tmp_path / "delta", "--to", empty.host)
    if repository == "hub":
        assert pulled(empty, "acme/hub", "1.1") == new
    else:
        # Nothing says in which repository the layer is.
        assert (ran.code, digest_of(BASE) in ran.err) == (2, True)


def test_verify_finds_what_is_not_as_it_was_brought(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    bundle, verify = save(), ("images", "verify", "--registry", empty.host)
    ran = waybill(*verify, bundle, "--json")
    assert ran.code == 4
    assert {one["wrong"] for one in ran.result["images"]} == {"it is not there"}
    assert waybill("images", "push", bundle, "--to", empty.host).code == 0
    assert waybill(*verify, bundle).code == 0
    other = archive(tmp_path / "other.tar", {HUB: build([layer({"x": b"1"})])})
    assert waybill(
        "images", "save", HUB, "--archive", other, "--out", tmp_path / "b", "--no-chart"
    ).code == 0  # fmt: skip
    assert waybill("images", "push", tmp_path / "b", "--to", empty.host).code == 0
    ran = waybill(*verify, bundle)
    assert ran.code == 4
    assert "and not" in ran.out
    assert "1 of 2 images are good" in ran.out


def test_verify_reads_the_bundle_and_asks_the_registry(
    empty: Registry, save: Save, waybill: Waybill
) -> None:
    bundle = save()
    verify = ("images", "verify", bundle, "--registry", empty.host, "--json")
    assert waybill("images", "push", bundle, "--to", empty.host).code == 0
    ran = waybill(*verify)
    assert (ran.code, ran.result["good"], len(ran.result["images"])) == (0, 1, 2)
    flip(bundle / "part-00001.tar", 2000)
    ran = waybill(*verify)
    assert (ran.code, list(ran.result["wrong"])) == (4, [f"{bundle}/part-00001.tar"])
    assert not any(one["wrong"] for one in ran.result["images"])
    (bundle / "part-00001.tar").unlink()
    ran = waybill(*verify)
    assert (ran.code, ran.result["missing"]) == (2, ["part-00001.tar"])


def test_a_policy_is_not_passed_by(empty: Registry, waybill: Waybill) -> None:
    ran = waybill("images", "verify", "--registry", empty.host, "--trust", "policy.yaml")
    assert (ran.code, "signature of a bundle" in ran.err) == (2, True)


def test_what_a_registry_has_can_be_saved_from_there(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    bundle = save()
    assert waybill("images", "push", bundle, "--to", f"{empty.host}/m").code == 0
    again = ("images", "save", *IMAGES, "--from", f"{empty.host}/m", "--no-chart", "--out")
    assert waybill(*again, tmp_path / "again").code == 0
    for name in ("bundle.json", "part-00001.tar"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes()
    own = f"{empty.host}/m/acme/hub:1.0"
    ran = waybill("images", "save", own, "--no-chart", "--json", "--out", tmp_path / "own")
    assert [one["digest"] for one in ran.result["images"]] == [IMAGES[HUB].digest]
    none = ("images", "save", "example.com/acme/none:1", "--from", f"{empty.host}/m", "--no-chart")
    ran = waybill(*none, "--out", tmp_path / "no")
    assert (ran.code, "there is no image" in ran.err) == (2, True)


def test_an_image_for_several_platforms_is_read_from_its_index(
    empty: Registry, save: Save, waybill: Waybill, tmp_path: Path
) -> None:
    assert waybill("images", "push", save(), "--to", empty.host).code == 0
    manifest = {"mediaType": "application/vnd.oci.image.manifest.v1+json"}
    entry = {**manifest, "digest": IMAGES[HUB].digest, "size": len(IMAGES[HUB].manifest)}
    platform = {"os": "linux", "architecture": "amd64"}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**entry, "platform": platform}],
    }
    empty.put(index, "many", "acme/hub")
    name = f"{empty.host}/acme/hub:many"
    ran = waybill("images", "save", name, "--no-chart", "--json", "--out", tmp_path / "many")
    assert [one["digest"] for one in ran.result["images"]] == [IMAGES[HUB].digest]


# Signing in.


Docker = Callable[[object], None]


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    (tmp_path / "home" / ".docker").mkdir()

    def write(config: object) -> None:
        (tmp_path / "home/.docker/config.json").write_text(json.dumps(config))

    return write


def basic(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_a_token_is_asked_for_what_is_pushed(
    save: Save, waybill: Waybill, tmp_path: Path, docker: Docker
) -> None:
    tokens = TokenService()
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/jwks.json").write_text(json.dumps(tokens.jwks))
    with tokens.serve() as realm:
        token = {
            "realm": realm,
            "service": "test registry",
            "issuer": "test issuer",
            "jwks": str(tmp_path / "closed/jwks.json"),
            "signingalgorithms": ["ES256"],
        }
        with registry_server(tmp_path / "closed", auth={"token": token}) as closed:
            bundle, push = save(), ("images", "push", "--to", closed.host)
            ran = waybill(*push, bundle)
            assert (ran.code, "docker login" in ran.err) == (1, True)
            docker({"auths": {closed.host: basic("robot", "wrong-word")}})
            ran = waybill(*push, bundle)
            assert (ran.code, "wrong-word" in ran.err) == (1, False)
            docker({"auths": {closed.host: basic("robot", tokens.password)}})
            assert waybill(*push, bundle).code == 0
            assert waybill("images", "verify", bundle, "--registry", closed.host).code == 0


def test_a_registry_that_is_not_there_is_told(save: Save, waybill: Waybill) -> None:
    ran = waybill("images", "push", save(), "--to", "127.0.0.1:1/x")
    assert ran.code == 7
    assert re.search(r"the registry 127.0.0.1:1/x/\S+ cannot be used", ran.err)


def test_digests_are_ours_and_the_registrys(empty: Registry, save: Save, waybill: Waybill) -> None:
    assert waybill("images", "push", save(), "--to", empty.host).code == 0
    for name, data in IMAGES[HUB].blobs.items():
        assert digests.of(empty.blob(name).read_bytes()) == name
        assert empty.blob(name).stat().st_size == len(data)
