"""What `compose` takes for a door; tests/chart and tests/integration have the rest."""

import argparse

import pytest

from waybill.cli.compose import _gpus, _published


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
    "text", ["gateway", "=80", "gateway=", "gateway=host:80", "gateway=70000", "gateway=1.2.3:80",
     "gateway=0", "gateway=999.1.1.1:80", "gateway=[::x]:80", "gateway=٣:80"],
)  # fmt: skip
def test_anything_else_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not SERVICE=PORT or SERVICE=ADDRESS"):
        _published(text)


@pytest.mark.parametrize("text", ["0", "3,1", "GPU-5c4c-ab,GPU-7", "MIG-GPU-5c4c/1/0"])
def test_gpus_are_numbers_or_uuids(text: str) -> None:
    assert _gpus(text) == text.split(",")


@pytest.mark.parametrize("text", ["", "0,", "0,0", "GPU-a,0,GPU-a", "all", "0 1", "-1"])
def test_no_card_is_given_twice_and_none_without_a_name(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="each once"):
        _gpus(text)
