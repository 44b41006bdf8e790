"""The chain from source to production, and its copy for an auditor with public tools alone."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed
from tests.unit.release.world import REPO, World, content, new_world, trust_in
from tests.unit.sign.making import (
    Authority,
    certificate_pem,
    certified,
    policy_file,
    public_pem,
    signer,
)
from waybill import digest as digests
from waybill.cli.main import main
from waybill.manifest import STATEMENT_TYPE, Manifest, statement
from waybill.sign.keys import Signer
from waybill.sign.predicates import Approval, Outcome, Trial
from waybill.store import evidence

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = digests.of(b"plan")
CA = Authority()
SIGNERS = {"ann": signer("ed25519"), "bob": signer("p256"), "company": certified(CA, "release")}


def trust(project: Path) -> None:
    """test and prod ask for a signature by ann or the company, and know bob."""
    keys: dict[str, Any] = {
        name: {"publicKey": public_pem(SIGNERS[name].private)} for name in ("ann", "bob")
    }
    pem = certificate_pem(CA.certificate)
    keys["company"] = {"certificateAuthority": pem, "subjects": ["CN=release"]}
    rule = {"signedBy": ["ann", "company"], "unsigned": "refuse"}
    policy_file(project / "values/trust.yaml", keys=keys, default=rule)
    trust_in(project, ["test", "prod"], "values/trust.yaml")


def say(world: World, made: Manifest, predicate: Trial | Approval, by: Signer) -> None:
    said = statement(made, predicate.TYPE, predicate.as_json())
    evidence.add_signed(world.store("dev"), REPO, made, said, by)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Signed by two, tested by bob, agreed to by somebody unknown; dev and test pin it."""
    project = tmp_path_factory.mktemp("promoted") / "project"
    new_world(project)
    trust(project)
    world = World(project)
    made = world.revision("dev", 1)
    for name in ("ann", "company"):
        evidence.sign_provenance(world.store("dev"), REPO, made, SIGNERS[name], "a test")
    trial = Trial("smoke", "dev", "chat", AT, Outcome.PASSED, ("one", "two"))
    say(world, made, trial, SIGNERS["bob"])
    say(world, made, Approval(PLAN, "dev", "test", AT, "eve"), signer())
    world.pin("dev", made.commit)
    world.promote("dev", "test")
    return world


@pytest.fixture
def world(promoted: World, tmp_path: Path) -> World:
    shutil.copytree(promoted.project, tmp_path / "project")
    return World(tmp_path / "project")


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(world: World, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: object, code: int = 0) -> dict[str, Any]:
        given = ["evidence", *words, "--project", world.project, "--json"]
        assert main([str(word) for word in given]) == code
        told = printed(capsys.readouterr().out)
        return told.get("result") or told["error"]  # type: ignore[no-any-return]

    return run


def test_it_tells_who_says_what_and_where(world: World, ask: Ask) -> None:
    told = ask("chat")
    by_kind: dict[str, list[list[str]]] = {}
    for one in told["evidence"]:
        kind = one["predicateType"].split("/")[-2]
        by_kind.setdefault(kind, []).append(one["signedBy"])
    assert sorted(by_kind["provenance"]) == [["ann"], ["company"]]
    assert (by_kind["test-result"], by_kind["approval"]) == ([["bob"]], [[]])
    assert all(one["environments"] == ["dev", "test"] for one in told["evidence"])
    assert told["commit"] == world.stable("dev")
    assert {name: one["present"] for name, one in told["environments"].items()} == {
        "dev": True,
        "test": True,
        "prod": False,
    }
    steps = told["environments"]["test"]["steps"]["chat"]
    assert [(one["commit"], one["why"]) for one in steps] == [(told["commit"], "it is good")]


def test_people_see_it_in_words(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "chat", "--project", str(world.project)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"smoke PASSED in dev 2026-03-01T12:00:00Z, 2 passed, 0 failed +bob", shown)
    assert re.search(r"approval +dev → test by eve .*key [0-9a-f]{16} \(not known\)", shown)
    assert "dev: chat stable 100 %; no trust policy" in shown
    assert "test: chat stable 100 %; trusted" in shown
    assert "prod: not there" in shown


def test_it_is_found_by_digest_by_commit_and_by_upstream_commit(world: World, ask: Ask) -> None:
    told = ask("chat")
    commit, upstream = told["commit"], world.store("dev").aliases(REPO)
    for named in (told["digest"], f"{REPO}@{commit}", f"{REPO}@{next(iter(upstream))}"):
        assert ask(named) == told


def test_the_last_environment_that_pins_a_model_is_meant(world: World, ask: Ask) -> None:
    old, new = str(world.stable("test")), world.revision("dev", 2).commit
    world.pin("dev", new)
    assert ask("chat")["commit"] == old
    assert ask("chat", "--env", "dev")["commit"] == new


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("embed", "no model 'embed' is pinned"),
        ("Acme/Chat", "must be MODEL, OWNER/NAME@COMMIT or a digest"),
        ("Acme/Chat@main", "it is not 40 lower-case hex digits"),
        (f"Acme/Chat@{'f' * 40}", "no store of dev, test, prod has"),
        (f"sha256:{'f' * 64}", "no store of dev, test, prod has"),
        ("the digest with another end", "no store of dev, test, prod has"),
        ("sha256:beef", "it is not sha256: and 64 hex digits"),
    ],
)
def test_what_nobody_knows_is_an_error(ask: Ask, named: str, said: str) -> None:
    if named == "the digest with another end":
        named = f"{ask('chat')['digest'][:-24]}{'0' * 24}"
    assert said in ask(named, code=2)["message"]


def test_a_store_that_is_gone_is_told(world: World, ask: Ask) -> None:
    shutil.rmtree(world.project / "stores/test")
    told = ask("chat", "--env", "dev")["environments"]
    assert "is not a Waybill store" in told["test"]["error"] and told["dev"]["error"] is None


def test_an_environment_that_would_refuse_it_says_so(world: World, ask: Ask) -> None:
    path = world.project / "values/trust.yaml"
    path.write_text(path.read_text().replace('["ann", "company"]', '["bob"]'))
    told = ask("chat", "--env", "dev")["environments"]
    assert "no signature that counts" in told["test"]["refused"]


def audit(folder: Path) -> str:
    """What the commands of the README print, with public tools in a clean environment."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.S | re.M)
    assert len(blocks) == 8
    ran = subprocess.run(
        ["sh", "-c", "\n".join(blocks)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.stdout


GOOD = re.compile(
    r"manifest\.json: OK|Signature Verified Successfully|statements/.*\.crt: OK|note: .*"
)


def complaints(folder: Path) -> list[str]:
    return [line for line in audit(folder).splitlines() if not GOOD.fullmatch(line)]


@pytest.fixture
def exported(world: World, ask: Ask, tmp_path: Path) -> Path:
    told = ask("chat", "--out", tmp_path / "audit")
    files = (tmp_path / "audit").rglob("*")
    names = sorted(
        path.relative_to(tmp_path / "audit").as_posix() for path in files if path.is_file()
    )
    assert names == sorted(told["files"])
    assert world.stable("test") == told["commit"]
    return tmp_path / "audit"


def test_an_auditor_checks_it_with_sha256sum_and_openssl(exported: Path) -> None:
    said = audit(exported)
    assert said.count("Signature Verified Successfully") == 3
    (unknown,) = (exported / "statements").glob("*-approval.*.sig")
    (approval,) = (exported / "statements").glob("*-approval.json")
    plan = json.loads(approval.read_bytes())["predicate"]["plan"]
    assert [line for line in said.splitlines() if not GOOD.fullmatch(line)] == [
        f"by a key that no trust policy names: {unknown.relative_to(exported)}",
        f"not here: {plan}, which {approval.relative_to(exported)} names",
    ]
    assert ".crt: OK" in said


@pytest.mark.parametrize(
    ("subject", "good"),
    [
        ('[{"name": "chat model", "digest": {"sha256": "%s"}}]', True),
        ('[\n  {"digest": {"sha256": "%s"}, "uri": "x"}\n]', True),
        ('[{"name": "chat", "digest": {"sha256": "%s0"}}]', False),
        ('[{"digest": {"sha256": "%s"}}, {"digest": {"sha256": "00"}}]', False),
    ],
)
def test_statements_of_other_tools_are_of_this_model_or_not(
    exported: Path, subject: str, good: bool
) -> None:
    path, digest = (
        exported / "statements/900-other.json",
        digests.of((exported / "manifest.json").read_bytes()),
    )
    path.write_text('{"subject": %s}\n' % (subject % digests.hex_of(digest)))
    assert (f"of another model: {path.relative_to(exported)}" in audit(exported)) is not good


def test_words_of_others_are_no_commands(exported: Path, world: World, tmp_path: Path) -> None:
    store = world.store("test")
    made = store.manifest(REPO, str(world.stable("test")))
    store.add_referrer(REPO, made.commit, statement(made, "```sh", {}), STATEMENT_TYPE)
    out = tmp_path / "again"
    main(["evidence", "chat", "--out", str(out), "--project", str(world.project)])
    told, theirs = ((folder / "README.md").read_text() for folder in (exported, out))
    assert "    ```sh" in theirs and theirs.count("\n```sh\n") == told.count("\n```sh\n")
    assert not re.search("^```sh.", theirs, re.M)


def changed(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


@pytest.mark.parametrize(
    ("pattern", "old", "new", "said"),
    [
        ("statements/*-test.json", b"PASSED", b"FAILED", "not what was signed"),
        ("statements/*-test.pae", b"PASSED", b"FAILED", "wrong signature"),
        ("manifest.json", b'"size":', b'"Size":', "manifest.json: FAILED"),
        ("records/test/chat/*.json", b"it is good", b"it is well", "FAILED"),
    ],
)
def test_what_was_changed_is_found(
    exported: Path, pattern: str, old: bytes, new: bytes, said: str
) -> None:
    (path,) = exported.glob(pattern)
    changed(path, old, new)
    # Whoever changes a file changes the sums, too.
    names = [line.split("  ", 1)[1] for line in (exported / "SHA256SUMS").read_text().splitlines()]
    sums = (f"{digests.hex_of(digests.of((exported / n).read_bytes()))}  {n}\n" for n in names)
    (exported / "SHA256SUMS").write_text("".join(sums))
    assert any(said in line for line in complaints(exported))


def test_the_files_of_the_model_are_checked_by_their_list(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name, data in content(1).items():
        (tmp_path / "model" / name).write_bytes(data)
    check = ["sha256sum", "--strict", "-c", str(exported / "files.sha256")]
    ran = subprocess.run(check, cwd=tmp_path / "model", capture_output=True, check=True)
    assert ran.stdout.count(b": OK") == 3


def test_a_folder_with_something_in_it_is_left_alone(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/mine").touch()
    assert "something in it already" in ask("chat", "--out", tmp_path / "audit", code=2)["message"]
    assert [path.name for path in (tmp_path / "audit").iterdir()] == ["mine"]
