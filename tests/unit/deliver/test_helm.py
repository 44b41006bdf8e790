"""How helm is called and ended. The program is a small script: real ones are in tests/chart."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from waybill.deliver import helm
from waybill.deliver.helm import Helm, values_in
from waybill.errors import BadFile, HelmFailed, ReleasePending

RELEASE = Helm(Path("chart"), "w", "ns")


class Script:
    """A helm that does as told and writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.path, self.calls = folder / "helm", folder / "calls"

    def does(self, body: str) -> None:
        start = f'#!/bin/sh\necho "$@" >> {self.calls}\n[ "$1" != version ] || echo v4.3.1\n'
        self.path.write_text(start + body)
        self.path.chmod(0o755)

    def called(self, what: str) -> list[str]:
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if line.startswith(what)]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script(tmp_path)
    monkeypatch.setenv("WAYBILL_HELM", str(made.path))
    return made


SLOW = """
trap 'sleep 0.4; echo marked as failed > "$0.ended"; exit 1' TERM
touch "$0.started"
while :; do sleep 0.01; done
"""


def upgrade(**more: Any) -> None:
    given = {"create_namespace": False, "meanwhile": lambda: None, **more}
    RELEASE.upgrade(60, **given)


def press_when_started(script: Script) -> threading.Thread:
    def press() -> None:
        while not script.path.with_name("helm.started").exists():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_ctrl_c_waits_for_helm_which_marks_its_release(script: Script) -> None:
    script.does(SLOW)
    thread = press_when_started(script)
    with pytest.raises(KeyboardInterrupt):
        upgrade()
    thread.join()
    assert script.path.with_name("helm.ended").read_text() == "marked as failed\n"


def test_what_goes_wrong_meanwhile_ends_helm(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helm, "_EVERY", 0.05)
    script.does(SLOW.replace("sleep 0.4; ", ""))

    def give_up() -> None:
        if script.path.with_name("helm.started").exists():
            raise HelmFailed(what="upgrade", why="a hook cannot start")

    with pytest.raises(HelmFailed, match="a hook cannot start"):
        upgrade(meanwhile=give_up)
    assert script.path.with_name("helm.ended").exists()


@pytest.mark.parametrize(
    ("status", "undo"),
    [
        ("pending-install", "helm uninstall w --namespace ns"),
        ("pending-upgrade", "helm rollback w --namespace ns"),
        ("pending-rollback", "helm rollback w --namespace ns"),
    ],
)
def test_a_pending_release_says_the_way_out(script: Script, status: str, undo: str) -> None:
    script.does(f"""echo '[{{"revision": "3", "status": "{status}"}}]'""")
    with pytest.raises(ReleasePending, match=f"w in ns is {status}") as pending:
        RELEASE.installed()
    assert undo in pending.value.advice


def test_what_is_installed_takes_one_look_and_one_version(script: Script) -> None:
    listed = '[{"revision": "3", "status": "failed"}]'
    script.does(f"""case $1 in list) echo '{listed}';; get) echo 'kind: Job';; esac""")
    for _ in range(2):
        found = RELEASE.installed()
    assert (found.revision, found.manifests) == (3, [{"kind": "Job"}])
    assert len(script.called("list")) == 2 and len(script.called("version")) == 1


def test_a_release_that_never_was_has_nothing(script: Script) -> None:
    script.does("[ $1 != list ] || echo '[]'")
    assert (RELEASE.installed().revision, RELEASE.installed().manifests) == (0, ())


@pytest.mark.parametrize("missing", [True, False])
def test_a_namespace_is_made_only_where_there_is_none(script: Script, missing: bool) -> None:
    script.does("")
    upgrade(create_namespace=missing)
    (call,) = script.called("upgrade")
    assert ("--create-namespace" in call) is missing and "--reset-values" in call


@pytest.mark.parametrize(
    "text", [b"a: 2026-99-99", b"a: !!bool foo", b"\xff\xfe\xff", b"- a", b"a: ["]
)
def test_values_that_are_none_are_named(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_bytes(text)
    with pytest.raises(BadFile, match=r"values\.yaml"):
        values_in(path)


def test_the_charts_last_words_have_no_heading(script: Script) -> None:
    script.does("printf 'NOTES:\\nWaybill is there.\\n\\n    helm test w\\n'")
    assert RELEASE.notes() == "Waybill is there.\n\n    helm test w"


@pytest.mark.parametrize("day", ["I0101", "W0531", "E1121", "F0704"])
def test_the_log_of_helms_client_is_no_part_of_its_error(script: Script, day: str) -> None:
    script.does(f"echo '{day} 10:00:00.1 1 reflector.go:5] slow' >&2; echo 'Error: IO' >&2; exit 1")
    with pytest.raises(HelmFailed, match=r"helm upgrade failed: IO$"):
        upgrade()


def test_what_was_changed_by_hand_is_taken_back(script: Script) -> None:
    """In the words of a real Helm 4.3, which is met in tests/e2e."""
    said = "UPGRADE FAILED: conflict occurred while applying object w/w /v1, Kind=ConfigMap: "
    said += 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a'
    script.does(f"case $* in *--force-conflicts) ;; *) echo 'Error: {said}' >&2; exit 1;; esac")
    upgrade()
    assert len(script.called("upgrade")) == 2


def test_what_else_fails_is_not_tried_again(script: Script) -> None:
    script.does("echo 'Error: UPGRADE FAILED: no room' >&2; exit 1")
    with pytest.raises(HelmFailed, match="no room"):
        upgrade()
    assert len(script.called("upgrade")) == 1
