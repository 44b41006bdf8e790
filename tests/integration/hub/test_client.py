"""The real huggingface_hub client against a real hub, over each kind of delivery."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from huggingface_hub import HfApi, HfFileSystem, RepoFile
from huggingface_hub.errors import (
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get

from tests.integration.hub.conftest import FILES, LARGE, Hub, contents
from tests.unit.hub.models import REPO, UPSTREAM
from waybill import digest as digests

ID = str(REPO)


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def test_a_snapshot_by_branch_tag_commit_and_upstream_commit(hub: Hub, api: HfApi) -> None:
    commit = hub.manifest.commit
    asked = {None: commit, "v1.0": commit, "refs/heads/fix/it": commit, commit: commit}
    for revision, sha in {**asked, UPSTREAM: UPSTREAM}.items():
        path = Path(api.snapshot_download(ID, revision=revision))
        assert path.name == sha
        assert contents(path) == FILES


def test_a_snapshot_is_not_fetched_twice(hub: Hub, api: HfApi) -> None:
    path = api.snapshot_download(ID, revision=hub.manifest.commit)
    before = hub.settled("/resolve/")
    assert api.snapshot_download(ID, revision=hub.manifest.commit) == path
    assert hub.settled("/resolve/") == before


def test_one_file_and_its_name_in_the_cache(hub: Hub, api: HfApi) -> None:
    path = Path(api.hf_hub_download(ID, "model.safetensors", revision=UPSTREAM))
    assert path.read_bytes() == LARGE
    assert path.parent.name == UPSTREAM
    assert path.resolve().name == digests.hex_of(digests.of(LARGE))
    nested = Path(api.hf_hub_download(ID, "deep/er/vocab.txt"))
    assert nested.resolve().name == hub.manifest.by_path["deep/er/vocab.txt"].git_oid
    assert Path(api.hf_hub_download(ID, "na\u00efve name.txt")).read_bytes()
    assert Path(api.hf_hub_download(ID, "empty.txt")).read_bytes() == b""


def test_a_download_goes_on_where_it_stopped(hub: Hub) -> None:
    half = len(LARGE) // 2
    target = BytesIO(LARGE[:half])
    target.seek(half)
    url = f"{hub.url}/{ID}/resolve/main/model.safetensors"
    http_get(url, target, resume_size=half, expected_size=len(LARGE))
    assert target.getvalue() == LARGE


def test_info(hub: Hub, api: HfApi) -> None:
    info = api.model_info(ID.lower(), files_metadata=True)
    assert (info.id, info.sha, info.private, info.gated) == (
        ID,
        hub.manifest.commit,
        False,
        False,
    )
    assert info.last_modified
    files = {file.rfilename: file for file in info.siblings or []}
    assert sorted(files) == sorted(FILES)
    weights = files["model.safetensors"]
    assert weights.size == len(LARGE)
    assert weights.lfs
    assert weights.lfs.sha256 == digests.hex_of(digests.of(LARGE))
    assert api.model_info(ID, revision=UPSTREAM).sha == UPSTREAM
    assert api.resolve_revision(ID, revision="v1.0").resolved == hub.manifest.commit


def test_what_exists(api: HfApi) -> None:
    assert api.repo_exists(ID)
    assert not api.repo_exists("nobody/nothing")
    assert api.revision_exists(ID, "v1.0")
    assert not api.revision_exists(ID, "v2.0")
    assert api.file_exists(ID, "config.json")
    assert not api.file_exists(ID, "tokenizer.json")


def test_listings(hub: Hub, api: HfApi) -> None:
    assert sorted(api.list_repo_files(ID, revision="fix/it")) == sorted(FILES)
    top = {item.path for item in api.list_repo_tree(ID)}
    assert {"deep", "config.json"} <= top
    assert "deep/er" not in top
    below = api.list_repo_tree(ID, "deep/er", revision=UPSTREAM, expand=True)
    assert [item.path for item in below] == ["deep/er/vocab.txt"]
    found = api.get_paths_info(ID, ["deep", "config.json", "none"], revision="v1.0")
    assert [type(item) is RepoFile for item in found] == [False, True]
    refs = api.list_repo_refs(ID)
    assert [branch.name for branch in refs.branches] == ["fix/it", "main"]
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1.0", hub.manifest.commit)]


def test_the_client_can_verify_what_it_has(api: HfApi) -> None:
    api.snapshot_download(ID)
    verified = api.verify_repo_checksums(ID)
    assert (verified.checked_count, list(verified.mismatches)) == (len(FILES), [])


def test_errors_have_the_clients_types(hub: Hub, api: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError, match="there is no repo nobody/nothing"):
        api.snapshot_download("nobody/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(ID, "config.json", revision="v2.0")
    with pytest.raises(RemoteEntryNotFoundError) as raised:
        api.hf_hub_download(ID, "tokenizer.json")
    assert raised.value.request_id
    noted = Path(api.hf_hub_download(ID, "config.json")).parents[2] / ".no_exist"
    assert (noted / hub.manifest.commit / "tokenizer.json").exists()


def test_any_part_can_be_read_as_from_a_file_system(hub: Hub) -> None:
    files = HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    assert files.find(f"{ID}/deep") == [f"{ID}/deep/er/vocab.txt"]
    with files.open(f"{ID}@v1.0/model.safetensors", block_size=1 << 20) as stream:
        stream.seek(-10, 2)
        assert stream.read() == LARGE[-10:]
        stream.seek(1_000_000)
        assert stream.read(3) == LARGE[1_000_000:1_000_003]


def test_the_command_line_client(hub: Hub, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "hf"
    target = tmp_path / "model"
    subprocess.run(
        [program, "download", ID, "--revision", UPSTREAM, "--local-dir", target],
        check=True,
        capture_output=True,
    )
    found = contents(target)
    assert {path: found[path] for path in FILES} == FILES
    assert hub.settled("/resolve/" + UPSTREAM)


def test_the_log_holds_no_signature(hub: Hub, api: HfApi) -> None:
    api.snapshot_download(ID, token="hf_hidden")
    text = hub.log.read_text()
    assert "HEAD /" in text
    assert "hf_hidden" not in text
    assert "X-Amz" not in text
