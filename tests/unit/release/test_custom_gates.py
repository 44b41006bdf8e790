"""Gates of a site's own are told the plan, and what gives no verdict denies."""

import time
from pathlib import Path

import pytest

from tests.unit.release.site import Site
from tests.unit.release.test_gates import says, script
from waybill.release.gates.case import Result


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('x', file=sys.stderr); sys.exit(7)", "exit code 7: x"),
        ("import sys; sys.exit(7)", "exit code 7: it said nothing"),
        ("print('yes')", "it printed 'yes"),
        ('print(\'{"result": "maybe", "reason": ""}\')', "it printed"),
        (says("error"), "it is error"),
        ('print(\'{"result": "pass", "reason": null}\')', "it printed"),
        ('print(\'{"result": "pass", "reason": {"a": 1}}\')', "it printed"),
        (
            'print(\'{"result": "fail", "reason": "", "result": "pass"}\')',
            "the key 'result' is given twice",
        ),
        ("import time; time.sleep(60)", "it took longer than 1 s"),
    ],
)
def test_command_that_gives_no_verdict_is_an_error(site: Site, program: str, why: str) -> None:
    rule = script(program)
    rule["gates"]["scan"]["timeout"] = "1s"
    site.policy(**rule)
    found = site.verdict("scan")
    assert (found.result, why in found.reason) == (Result.ERROR, True), found.reason
    lines = (site.project / "values/policy.yaml").read_text().splitlines()
    assert '"scan"' in lines[(found.line or 0) - 1]


def test_command_that_is_not_there_is_an_error(site: Site) -> None:
    site.policy(gates={"scan": {"command": ["./no-such-program"]}})
    assert "No such file" in site.verdict("scan").reason


def test_command_is_told_the_plan_and_stands_in_the_project(site: Site) -> None:
    program = (
        "import json, pathlib, sys; said = json.load(sys.stdin); "
        "assert pathlib.Path('values/policy.yaml').exists(); "
        "chat = said['plan']['models']['chat']; "
        "print(json.dumps({'result': 'pass', 'reason': "
        "' '.join([said['gate'], said['digest'], chat['commit']])}))"
    )
    site.policy(**script(program))
    application = site.prepare()
    found = site.verdict("scan", application)
    assert found.reason == f"scan {application.plan.digest} {site.commit()}"


def test_command_never_sees_the_passphrase_of_the_key(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_KEY_PASSPHRASE", "open sesame")
    program = (
        "import json, os; seen = [one for one in os.environ if 'PASSPHRASE' in one]; "
        "print(json.dumps({'result': 'pass', 'reason': f'saw {seen}'}))"
    )
    site.policy(**script(program))
    assert site.verdict("scan").reason == "saw []"


@pytest.mark.parametrize(
    "program",
    [
        "import sys; print('password=hunter22', file=sys.stderr); sys.exit(1)",
        "print('password=hunter22')",
        says("fail").replace("it is fail", "password=hunter22"),
        says("error").replace("it is error", "password=hunter22"),
    ],
)
def test_what_looks_like_a_credential_is_not_shown(site: Site, program: str) -> None:
    """It would go into plans, comments and logs."""
    site.policy(**script(program))
    found = site.verdict("scan")
    assert "password=(hidden)" in found.reason and "hunter22" not in found.reason


def test_what_a_command_has_started_ends_with_it(site: Site) -> None:
    """It holds the command's stdout open, so nothing can be read to the end."""
    sleep = "import time; time.sleep(120)"
    program = (
        "import pathlib, subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', '{sleep}']); "
        "pathlib.Path('pid').write_text(str(child.pid))"
    )
    rule = script(program)
    rule["gates"]["scan"]["timeout"] = "2s"
    site.policy(**rule)
    assert "it took longer than 2 s" in site.verdict("scan").reason
    status = Path("/proc", (site.project / "pid").read_text(), "stat")
    for _ in range(100):
        if not status.exists() or ") Z " in status.read_text():
            return
        time.sleep(0.05)
    pytest.fail("it still runs")
