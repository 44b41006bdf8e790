"""The tools of these tests themselves."""

import pytest
import yaml

from tests.chart.rendering import Loader, Refused, Render


def test_later_values_win(render: Render) -> None:
    objects = render(*({"global": {"labels": {"site": site}}} for site in ("a", "b")))
    assert objects[0]["metadata"]["labels"]["site"] == "b"


def test_what_helm_refuses_is_said(render: Render) -> None:
    with pytest.raises(Refused, match="no-such-file"):
        render("no-such-file.yaml")


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="more than once: a"):
        yaml.load("{a: 1, a: 2}", Loader)  # noqa: S506
