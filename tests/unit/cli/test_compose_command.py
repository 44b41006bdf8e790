"""What `compose` takes for a door; tests/chart and tests/integration have the rest."""

import argparse

import pytest

from waybill.cli.compose import _published


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gateway=443", "443"),
        ("gateway=127.0.0.1:8080", "127.0.0.1:8080"),
        ("gateway=[::1]:8080", "[::1]:8080"),
    ],
)
def test_a_door_is_a_port_of_the_host_or_of_one_address(text: str, place: str) -> None:
    assert _published(text) == ("gateway", place)


@pytest.mark.parametrize(
    "text", ["gateway", "=80", "gateway=", "gateway=host:80", "gateway=70000", "gateway=1.2.3:80"]
)
def test_anything_else_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not SERVICE=PORT or SERVICE=ADDRESS"):
        _published(text)
