"""Where a registry says that a blob is to be sent to."""

import httpx2
import pytest

from waybill.errors import SourceUnreachable
from waybill.source.reach import Reach
from waybill.source.reference import Place
from waybill.source.uploads import Uploads


def answer(scheme: str, location: str) -> httpx2.Response:
    asked = httpx2.Request("POST", f"{scheme}://registry.example/v2/acme/uploads/")
    return httpx2.Response(202, headers={"location": location}, request=asked)


@pytest.fixture
def uploads() -> Uploads:
    return Uploads(Place("registry.example"), "acme", Reach())


@pytest.mark.parametrize(
    ("scheme", "location"),
    [
        ("https", "/v2/acme/uploads/1"),
        ("https", "https://data.example/1"),
        ("http", "http://registry.example/v2/acme/uploads/1"),
        ("http", "https://registry.example/v2/acme/uploads/1"),
    ],
)
def test_the_place_is_as_the_registry_says(scheme: str, location: str, uploads: Uploads) -> None:
    assert uploads._location(answer(scheme, location)).endswith(location)


def test_what_is_encrypted_stays_so(uploads: Uploads) -> None:
    with pytest.raises(SourceUnreachable, match=r"without encryption, at http://registry\.example"):
        uploads._location(answer("https", "http://registry.example/v2/acme/uploads/1"))
