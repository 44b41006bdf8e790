from typing import Any

from waybill.deliver.changes import changes


def config(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_equal_objects_are_no_change_whatever_their_order() -> None:
    one, other = config("a", x="1"), config("b", y="2")
    assert changes([one, other], [other, one]) == []


def test_each_difference_has_its_verb_and_the_lines_that_differ() -> None:
    old = [config("gone"), config("kept", x="1")]
    new = [config("kept", x="2"), config("new")]
    found = changes(old, new)
    assert [(each.verb, each.name) for each in found] == [
        ("remove", "gone"),
        ("change", "kept"),
        ("add", "new"),
    ]
    assert "-  x: '1'" in found[1].lines and "+  x: '2'" in found[1].lines


def test_hooks_are_left_out_because_helm_makes_them_each_time() -> None:
    hook = config("hook")
    hook["metadata"]["annotations"] = {"helm.sh/hook": "pre-upgrade"}
    assert changes([], [hook]) == []


def test_the_values_of_secrets_are_hidden() -> None:
    old = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "old-value"}}
    new = {**old, "stringData": {"key": "new-value", "more": "x"}}
    (found,) = changes([old], [new])
    assert "-value" not in "\n".join(found.lines) and "+  more: (hidden)" in found.lines
