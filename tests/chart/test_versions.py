"""Each case renders alike with both Helms and is valid for every version of Kubernetes."""

import pytest

from tests.chart.kubernetes import complaints, versions
from tests.chart.rendering import CASES, NEWEST, OLDEST, Render


def test_all_versions_between_are_known() -> None:
    minors = [version.rpartition(".")[0] for version in versions()]
    first, last = (int(version.partition(".")[2]) for version in (OLDEST, NEWEST))
    assert minors == [f"1.{minor}" for minor in range(first, last + 1)]


@pytest.mark.parametrize("case", CASES)
def test_helm_3_and_4_render_the_same_whatever_the_cluster(render: Render, case: str) -> None:
    newest = render(*CASES[case])
    assert render(*CASES[case], helm=3) == newest
    assert render(*CASES[case], kube=OLDEST) == newest


@pytest.mark.parametrize("version", versions())
def test_every_object_is_valid(render: Render, version: str) -> None:
    found = [
        line
        for case in CASES.values()
        for one in render(*case)
        for line in complaints(one, version)
    ]
    assert not found, "\n".join(found)


def test_the_schemas_refuse_a_typing_error(render: Render) -> None:
    deployment = next(one for one in render() if one["kind"] == "Deployment")
    deployment["spec"]["templat"] = {}
    assert all(complaints(deployment, version) for version in versions())
