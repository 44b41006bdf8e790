"""Where nothing may be skipped, a skipped test fails the whole run."""

import os

import pytest

FORBIDDEN = ("skipped", "xfailed")


def left_out(session: pytest.Session) -> int:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    return sum(len(reporter.stats.get(kind, ())) for kind in FORBIDDEN) if reporter else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("WAYBILL_TEST_NO_SKIP") and left_out(session):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    number = sum(len(terminalreporter.stats.get(kind, ())) for kind in FORBIDDEN)
    if os.environ.get("WAYBILL_TEST_NO_SKIP") and number:
        terminalreporter.line(
            f"FAILED: {number} left out above, and WAYBILL_TEST_NO_SKIP allows none", red=True
        )
