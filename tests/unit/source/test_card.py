"""The license of a model card, whatever a card may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.source.card import card_license


@pytest.mark.parametrize(
    ("card", "license_id"),
    [
        ("---\nlicense: apache-2.0\n---\n# Demo", "apache-2.0"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\ntags:\n- a\nlicense: other\nlicense_name: x\n---", "other (x)"),
        (
            "---\nlicense: Other\nlicense_name: MIT\nlicense_link: LICENSE\n---",
            "other (MIT, LICENSE)",
        ),
        ("---\nlicense: other\nlicense_link: https://h/x\n---", "other (https://h/x)"),
        ("---\nlicense: other\nlicense_name: [x]\n---", "other"),
        ("---\nlicense: mit\nlicense_name: x\n---", "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense:\n- mit\n---\n", "mit"),
        ("---\nlicense: [mit, 5]\n---\n", None),
        ("---\nlicense: []\n---\n", None),
        ('---\nlicense: "a\\ud800\\nb"\n---\n', "a? b"),
        ("---\ntags: [a]\n---\n", None),
        ("---\n- license\n---\n", None),
        ("---\nlicense: mit\n", None),
        ("# Demo\n---\nlicense: mit\n---\n", None),
        ("---\n{unclosed\n---\n", None),
        ("---\nreleased: 2024-02-30\nlicense: mit\n---\n", None),
        ("---\nlicense: !!bool foo\n---\n", None),
        ("---\n" + "[" * 600 + "\n---\n", None),
        ("", None),
    ],
)
def test_the_license_is_what_the_header_says(card: str, license_id: str | None) -> None:
    assert card_license(card) == license_id


@given(st.text())
def test_no_card_is_too_strange(text: str) -> None:
    found = card_license(f"---\n{text}\n---\n")
    assert found is None or isinstance(found, str)
