"""Names of images and of registries: what is one, and what is not."""

import pytest

from waybill.errors import BadValue
from waybill.source.reference import Place, Reference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("docker.io/library/a:1", ("docker.io", "library/a", "1", "")),
        ("localhost:5000/a:1.0-b_c", ("localhost:5000", "a", "1.0-b_c", "")),
        (f"quay.io/a/b-c/d__e:v1@{DIGEST}", ("quay.io", "a/b-c/d__e", "v1", DIGEST)),
    ],
)
def test_a_name_has_four_parts(text: str, parts: tuple[str, ...]) -> None:
    one = Reference.parse(text)
    assert (one.registry, one.repository, one.tag, one.digest) == parts
    assert str(one) == text
    assert one.tagged == text.partition("@")[0]


@pytest.mark.parametrize(
    "text",
    ["a:1", "docker.io/a", f"docker.io/a@{DIGEST}", "docker.io/A:1", "docker.io/../a:1", "x/a:1\n",
     "docker.io/a:1@sha256:b", "user@host/a:1", ""],
)  # fmt: skip
def test_what_is_no_whole_name_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "name", "base"),
    [
        ("registry.internal", "registry.internal", "https://registry.internal"),
        ("r.internal:5000/all/of/it/", "r.internal:5000/all/of/it", "https://r.internal:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("oci+http://r.internal/x", "r.internal/x", "http://r.internal"),
        ("oci://r.internal/x", "r.internal/x", "https://r.internal"),
        ("docker.io", "docker.io", "https://registry-1.docker.io"),
    ],
)
def test_a_place_is_what_the_values_name(text: str, name: str, base: str) -> None:
    place = Place.parse(text)
    assert (str(place), place.base) == (name, base)
    reference = Reference.parse("quay.io/a/b:1")
    assert str(reference.at(str(place))) == f"{name}/a/b:1"
    assert f"{place.host}/{place.repository(reference)}" == f"{name}/a/b"


@pytest.mark.parametrize("text", ["", "https://r", "user:secret@r.internal", "r/UPPER", "r//x"])
def test_what_is_no_place_is_refused_and_shows_no_password(text: str) -> None:
    with pytest.raises(BadValue) as failed:
        Place.parse(text)
    assert "secret" not in str(failed.value)
