"""Info, refs, tree and paths-info, as huggingface_hub parses them."""

import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.conftest import Serve
from tests.unit.hub.models import FILES, REPO, UPSTREAM, add, file, point
from waybill import digest as digests
from waybill.manifest import File, Manifest
from waybill.store.layout import Ref, RepoId
from waybill.store.store import Store

API = f"/api/models/{REPO}"


def test_info(hub: TestClient, store: Store, tiny: Manifest) -> None:
    info = hub.get(API).json()
    head = store.head(REPO, Ref("heads", "main"))
    assert head
    assert info["lastModified"] == head.record.at
    assert info["id"] == info["modelId"] == "Acme/Tiny-Model"
    assert info["sha"] == tiny.commit
    assert (info["private"], info["gated"], info["disabled"]) == (False, False, False)
    assert info["siblings"] == [{"rfilename": path} for path in sorted(FILES)]
    assert info["usedStorage"] == sum(map(len, FILES.values()))


def test_the_id_is_spelled_as_in_the_records(hub: TestClient) -> None:
    for path in ("/api/models/acme/tiny-model", f"/api/models/ACME/TINY-MODEL/revision/{UPSTREAM}"):
        assert hub.get(path).json()["id"] == "Acme/Tiny-Model"


def test_a_repo_without_a_ref_is_spelled_as_asked(hub: TestClient, store: Store) -> None:
    manifest = add(store, {"config.json": b"{}"}, RepoId("some", "other"))
    answer = hub.get(f"/api/models/Some/Other/revision/{manifest.commit}")
    assert answer.json()["id"] == "Some/Other"
    assert "lastModified" not in answer.json()


def test_the_asked_id_is_echoed(hub: TestClient, tiny: Manifest) -> None:
    for asked in (tiny.commit, UPSTREAM):
        assert hub.get(f"{API}/revision/{asked}").json()["sha"] == asked


def test_info_with_blobs(hub: TestClient, tiny: Manifest) -> None:
    siblings = {s["rfilename"]: s for s in hub.get(f"{API}?blobs=true").json()["siblings"]}
    weights, config = siblings["model.safetensors"], siblings["config.json"]
    entry = tiny.by_path["model.safetensors"]
    assert (weights["size"], weights["blobId"]) == (1024, entry.oid)
    assert weights["lfs"] == {
        "sha256": digests.hex_of(entry.digest),
        "size": 1024,
        "pointerSize": len(entry.lfs_pointer),
    }
    assert config["blobId"] == tiny.by_path["config.json"].git_oid
    assert "lfs" not in config


def test_expand_gives_what_is_asked_and_known(hub: TestClient, tiny: Manifest) -> None:
    answer = hub.get(f"{API}?expand=sha&expand=gguf&expand=tags")
    assert answer.json() == {"id": str(REPO), "sha": tiny.commit, "tags": []}


def test_refs(hub: TestClient, store: Store, tiny: Manifest) -> None:
    point(store, Ref.pin("prod", "chat"), tiny)
    point(store, Ref("heads", "fix/it"), tiny)
    answer = hub.get(f"{API}/refs?include_prs=1").json()
    at = {"targetCommit": tiny.commit}
    assert answer == {
        "branches": [
            {"name": "fix/it", "ref": "refs/heads/fix/it", **at},
            {"name": "main", "ref": "refs/heads/main", **at},
        ],
        "converts": [],
        "tags": [{"name": "v1.0", "ref": "refs/tags/v1.0", **at}],
    }


def test_the_whole_tree(hub: TestClient, tiny: Manifest) -> None:
    answer = hub.get(f"{API}/tree/{UPSTREAM}?recursive=true&expand=false")
    assert answer.headers["x-repo-commit"] == UPSTREAM
    assert "link" not in answer.headers
    items = {item["path"]: item for item in answer.json()}
    assert list(items) == sorted([*FILES, "1_Pooling", "deep", "deep/er"])
    assert items["deep/er"]["type"] == "directory"
    assert items["config.json"] == {
        "type": "file",
        "path": "config.json",
        "size": len(FILES["config.json"]),
        "oid": tiny.by_path["config.json"].git_oid,
    }
    entry = tiny.by_path["model.safetensors"]
    assert items["model.safetensors"]["oid"] == entry.oid
    assert items["model.safetensors"]["lfs"] == {
        "oid": digests.hex_of(entry.digest),
        "size": 1024,
        "pointerSize": len(entry.lfs_pointer),
    }


@pytest.mark.parametrize(
    ("folder", "recursive", "found"),
    [
        ("", "false", [p for p in sorted([*FILES, "1_Pooling", "deep"]) if "/" not in p]),
        ("/deep", "false", ["deep/er"]),
        ("/deep", "true", ["deep/er", "deep/er/vocab.txt"]),
        ("/deep%2Fer", "false", ["deep/er/vocab.txt"]),
        ("/deep/er", "true", ["deep/er/vocab.txt"]),
    ],
)
def test_a_folder(hub: TestClient, folder: str, recursive: str, found: list[str]) -> None:
    answer = hub.get(f"{API}/tree/main{folder}?recursive={recursive}")
    assert [item["path"] for item in answer.json()] == found


def test_folder_ids_are_those_of_git(hub: TestClient, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for path, data in FILES.items():
        if path.startswith(("deep", "1_Pooling")):
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    git = ["git", "-C", str(work)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    tree = subprocess.run([*git, "write-tree"], check=True, capture_output=True).stdout.decode()
    listed = subprocess.run(
        [*git, "ls-tree", "-r", "-t", "--format=%(path) %(objectname)", tree.strip()],
        check=True,
        capture_output=True,
    ).stdout.decode()
    known = dict(line.split() for line in listed.splitlines())
    items = hub.get(f"{API}/tree/main?recursive=true").json()
    ours = {item["path"]: item["oid"] for item in items if item["path"] in known}
    assert ours == known


def test_a_long_tree_comes_in_pages(serve: Serve, store: Store) -> None:
    names = [f"f{number:04}.txt" for number in range(2001)]
    empty = file("x", b"")
    manifest = Manifest.of(File(name, empty.digest, 0, empty.git_oid) for name in names)
    store.add_revision(REPO, manifest)
    hub = serve()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example, inner"}
    path = f"{API}/tree/{manifest.commit}?recursive=true"
    found, pages = [], 0
    while path:
        answer = hub.get(path, headers=headers)
        found += [item["path"] for item in answer.json()]
        pages += 1
        path = answer.links.get("next", {}).get("url", "")
        if path:
            assert path.startswith(f"https://hub.example{API}/tree/{manifest.commit}?")
    assert (found, pages) == (names, 3)


def test_a_page_is_named_on_the_asked_host(serve: Serve, store: Store) -> None:
    empty = file("x", b"")
    names = [f"{number}.txt" for number in range(1001)]
    manifest = Manifest.of(File(name, empty.digest, 0, empty.git_oid) for name in names)
    store.add_revision(REPO, manifest)
    answer = serve().get(f"{API}/tree/{manifest.commit}", headers={"Host": "hub:8080"})
    assert answer.links["next"]["url"].startswith(f"http://hub:8080{API}/tree/")


@pytest.mark.parametrize("form", [True, False])
def test_paths_info(hub: TestClient, tiny: Manifest, form: bool) -> None:
    paths = ["config.json", "deep", "no/such", "deep/er/vocab.txt"]
    body = {"data": {"paths": paths, "expand": "False"}} if form else {"json": {"paths": paths}}
    answer = hub.post(f"{API}/paths-info/{tiny.commit}", **body)
    assert [item["path"] for item in answer.json()] == ["config.json", "deep", "deep/er/vocab.txt"]
    assert [item["type"] for item in answer.json()] == ["file", "directory", "file"]


def test_no_paths_give_nothing(hub: TestClient) -> None:
    assert hub.post(f"{API}/paths-info/main").json() == []


@pytest.mark.parametrize(
    "body", [b"[1]", b"{", b'{"paths": [1]}', b'{"paths": 7}', b"\xff", b"[" * 200_000]
)
def test_a_body_that_names_no_paths(hub: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = hub.post(f"{API}/paths-info/main", content=body, headers=headers)
    assert answer.status_code == 400
    assert "is not usable" in answer.json()["error"]


def test_the_refusal_of_a_large_body_is_small(hub: TestClient) -> None:
    answer = hub.post(f"{API}/paths-info/main", json={"paths": [7] * 100_000})
    assert answer.status_code == 400
    assert len(answer.headers["x-error-message"]) < 300


def test_too_many_paths_or_bytes(hub: TestClient) -> None:
    many = "&".join(f"paths={number}" for number in range(1001))
    assert hub.post(f"{API}/paths-info/main", content=many).status_code == 400
    large = "paths=" + quote("x" * (5 << 20))
    assert hub.post(f"{API}/paths-info/main", content=large).status_code == 400
