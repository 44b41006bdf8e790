"""Where nothing may be skipped, a skipped test fails the whole run."""

import os
import signal

import pytest

FORBIDDEN = ("skipped", "xfailed")


def pytest_configure() -> None:
    # A shell that starts us in the background has SIGINT ignored, and tests press Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
