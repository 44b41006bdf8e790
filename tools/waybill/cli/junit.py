"""Test cases in the form of JUnit, which every forge shows beside a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff￾￿]")
"""What XML cannot hold."""


@dataclass(frozen=True)
class Case:
    """`kind`: failure, error or skipped; empty where it is well. `place`: a file and its line."""

    of: str
    name: str
    kind: str = ""
    why: str = ""
    text: str | None = None
    place: dict[str, str] = field(default_factory=dict)


def suite(name: str, timestamp: str, cases: Sequence[Case]) -> str:
    """One suite; `timestamp` is in ISO 8601."""
    kinds = [case.kind for case in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
    }
    root = ElementTree.Element("testsuite", {"name": name, "timestamp": timestamp, **counts})
    for case in cases:
        facts = {"classname": case.of, "name": case.name, **case.place}
        element = ElementTree.SubElement(root, "testcase", facts)
        if case.kind:
            told = ElementTree.SubElement(element, case.kind, message=case.why)
            told.text = case.text
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    return _UNPRINTABLE.sub("?", text) + "\n"
