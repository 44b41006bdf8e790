"""`sideload --in-cluster` up to its Job, with a script for helm: real ones are in tests/chart."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Waybill
from waybill.cli import output
from waybill.deliver import import_job
from waybill.deliver.cluster import Cluster
from waybill.errors import ImportGoesOn

HELM = r"""#!/bin/sh
case "$1" in
    version) echo v4.3.1 ;;
    template)
        printf 'kind: Job\nmetadata: {name: w-import-1, labels: {app.kubernetes.io/name: import}}\n'
        printf 'told:\n'
        for each; do
            case $each in --set-json=*) printf "  - '%s'\n" "${each#--set-json=}" ;; esac
        done
        ;;
esac
"""
ENVIRONMENTS = "environments: {dev: {store: s3://models, namespace: ns, capacity: 2TB}}"
DONE = {
    "store": "s3://models",
    "blobs": 3,
    "missing": 2,
    "damaged": 0,
    "bytes": 1000,
    "revisions": [{"repo": "a/b", "commit": "c" * 40, "refs": [], "notes": ["no alias"]}],
}


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """The arguments that every import needs."""
    program = tmp_path / "helm"
    program.write_text(HELM)
    program.chmod(0o755)
    monkeypatch.setenv("WAYBILL_HELM", str(program))
    (tmp_path / "values").mkdir()
    (tmp_path / "values/dev.yaml").write_text("{}")
    (tmp_path / "values/environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / "Chart.yaml").write_text("name: w")
    place = ("--project", tmp_path, "--chart", tmp_path, "--by", "me")
    return ("--in-cluster", "--to", "dev", *place)


def values(waybill: Waybill, *arguments: object) -> dict[str, Any]:
    """What the chart is told of the import."""
    ran = waybill("sideload", *arguments, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    pairs = (each.partition("=") for each in ran.result["job"]["told"])
    return {key: json.loads(value) for key, _, value in pairs}


def test_the_job_is_told_what_the_command_line_says(waybill: Waybill, where: Any) -> None:
    told = values(waybill, "hf://a/b@v1", *where)
    assert told["import.enabled"] is True and told["import.by"] == "me"
    assert told["import.args"] == ["hf://a/b@v1", "--branch=main", "--capacity=2000000000000"]
    flags = ("--as", "c/d", "--include", "*.json", "--exclude=-x", "--tag", "v1", "--repair")
    more = ("--source-endpoint", "https://hf.example.com", "--why", "a reason", "--single-writer")
    sent = ("--limit-rate", "50MB", "--capacity", "1TB", "--allow-pickle")
    assert values(waybill, "hf://a/b", *where, *flags, *more, *sent)["import.args"][1:] == [
        "--as=c/d",
        "--source-endpoint=https://hf.example.com",
        "--branch=main",
        "--tag=v1",
        "--limit-rate=50000000",
        "--capacity=1000000000000",
        "--why=a reason",
        "--include=*.json",
        "--exclude=-x",
        "--allow-pickle",
        "--repair",
        "--single-writer",
    ]


def test_a_manifest_says_the_same(waybill: Waybill, where: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "import.yaml"
    manifest.write_text("source: s3://b/x/\nas: a/b\nendpoint: https://s3.example.com\n")
    told = values(waybill, "--manifest", manifest, *where, "--verify", "deep")["import.args"]
    assert told[0] == "s3://b/x/" and told[-1] == "--verify=deep"
    assert {"--as=a/b", "--source-endpoint=https://s3.example.com"} <= set(told)
    manifest.write_text("source: s3://b/x/\ncaBundle: ca.crt\n")
    ran = waybill("sideload", "--manifest", manifest, *where)
    assert ran.code == 2 and "put it into --source-secret as ca.crt" in ran.err


def test_a_dry_run_prints_the_job(waybill: Waybill, where: Any) -> None:
    ran = waybill("sideload", "hf://a/b", *where, "--dry-run")
    assert ran.code == 0 and ran.out.startswith("kind: Job\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("hf://a/b", "--source-token-file", "t"), "put it into --source-secret as token"),
        (("hf://a/b", "--key", "key.pem"), "sign the revision in the store afterwards"),
        (("hf://a/b", "--trust", "t.yaml"), "the environment says whom it trusts"),
        (("hf://a/b", "--endpoint", "https://x"), "--endpoint"),
        (("hf://a/b", "--wait"), "a bundle is read where its media are"),
        (("disk1", "disk2"), "a bundle is read where its media are"),
        (("disk1",), "a pod does not see the files of this machine"),
        ((), "say where the model comes from"),
    ],
)
def test_what_a_job_cannot_do_is_refused(
    waybill: Waybill, where: Any, arguments: tuple[str, ...], why: str
) -> None:
    ran = waybill("sideload", *arguments, *where)
    assert ran.code == 2 and why in ran.err


def test_what_a_job_alone_takes_is_refused_here(waybill: Waybill, store: Path) -> None:
    for flag in ("--source-secret", "--chart", "--values"):
        ran = waybill("sideload", "hf://a/b", "--to", store, flag, "x")
        assert ran.code == 2 and "it goes with --in-cluster" in ran.err


def test_the_store_has_to_be_an_environments(waybill: Waybill, where: Any) -> None:
    ran = waybill("sideload", "hf://a/b", *where, "--to", "s3://models")
    assert ran.code == 2 and "use one of: dev" in ran.err


def test_the_result_is_told_as_of_any_sideload(
    waybill: Waybill, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_job, "carry_out", lambda *_: DONE)
    ran = waybill("sideload", "hf://a/b", *where)
    line = f"a/b at {'c' * 40} is in s3://models: sent 2 of 3 blobs (1.0 kB), 1 were there"
    assert ran.out.splitlines() == [line, "note: no alias"]
    assert waybill("sideload", "hf://a/b", *where, "--json").result == {**DONE, "job": "w-import-1"}
    monkeypatch.setattr(import_job, "carry_out", lambda *_: {})
    assert "its log is gone" in waybill("sideload", "hf://a/b", *where).out


def test_who_stops_watching_is_told_that_it_goes_on(
    waybill: Waybill, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(*_: object) -> None:
        raise ImportGoesOn(job="w-import-1", namespace="ns")

    monkeypatch.setattr(import_job, "carry_out", left)
    ran = waybill("sideload", "hf://a/b", *where)
    assert ran.code == 130 and "kubectl delete job w-import-1" in ran.err


def test_where_no_terminal_is_a_line_tells_of_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "_EVERY", 0)
    with output.Console(as_json=True, quiet=False).progress("sideload", 4000) as advance:
        advance(1000)
        advance(3000)
    with output.Console(as_json=False, quiet=True).progress("read", 0) as advance:
        advance(1000)
    said = capsys.readouterr()
    lines = ["sideload: 1.0 kB of 4.0 kB", "sideload: 4.0 kB of 4.0 kB"]
    assert said.err.splitlines() == lines and not said.out


def test_a_manifest_may_name_the_secret(
    waybill: Waybill, where: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, frozenset[str]] = {"one": frozenset({"credentials"}), "other": frozenset()}
    monkeypatch.setattr(Cluster, "secret_keys", lambda _, name: keys[name])
    manifest = tmp_path / "import.yaml"
    manifest.write_text("source: s3://b/x/\nas: a/b\nsecret: one\n")
    told = values(waybill, "--manifest", manifest, *where)
    assert told["import.existingSecret"] == "one"
    assert told["import.args"][-1] == "--source-profile=source"
    told = values(waybill, "--manifest", manifest, *where, "--source-secret", "other")
    assert told["import.existingSecret"] == "other"
