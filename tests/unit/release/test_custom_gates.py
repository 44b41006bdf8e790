"""Gates of a site's own are told the plan, and what gives no verdict denies."""

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
        ("import time; time.sleep(60)", "it took longer than 1 s"),
        (
            "import subprocess, sys; "
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
            "it took longer than 1 s",
        ),
    ],
)
def test_command_that_gives_no_verdict_is_an_error(site: Site, program: str, why: str) -> None:
    rule = script(program)
    rule["gates"]["scan"]["timeout"] = "1s"
    site.policy(**rule)
    found = site.verdict("scan")
    assert (found.result, why in found.reason) == (Result.ERROR, True), found.reason


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
