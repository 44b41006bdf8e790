"""What holds for all unit tests."""

import os

import pytest
from hypothesis import settings

# Properties are tried without a limit of time for each example: machines are busy. They are
# tried with few examples here, and with many in tests/integration/test_properties.py.
EXAMPLES = int(os.environ.get("WAYBILL_TEST_EXAMPLES", "20"))
settings.register_profile("waybill", deadline=None, max_examples=EXAMPLES)
settings.load_profile("waybill")


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here looks at a disk after its power was cut, so nothing waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
