"""README and guides: every link leads somewhere, and what they list is what the chart has."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "tools/docs").glob("*.md"))]


def _anchors(page: Path) -> set[str]:
    """As web front ends make them from headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links {link}"
        assert not anchor or anchor in _anchors(target), f"{page.name} links {link}"


def test_every_guide_can_be_found_from_the_index() -> None:
    index = (REPO / "tools/docs/index.md").read_text()
    lost = [page.name for page in PAGES[1:] if f"({page.name})" not in index]
    assert lost == ["index.md"]


def _images(values: object) -> Iterator[Mapping[str, str]]:
    if isinstance(values, Mapping):
        if "repository" in values:
            yield values
        for each in values.values():
            yield from _images(each)


def test_the_guide_lists_the_images_that_the_chart_names() -> None:
    values = yaml.safe_load((REPO / "charts/waybill/values.yaml").read_text())
    engine = values["vllm"]["image"]["tag"]
    named = {f"{each['repository']}:{each.get('tag', engine)}" for each in _images(values)}
    guide = (REPO / "tools/docs/install.md").read_text()
    table = guide[guide.index("### The images") : guide.index("## The files")]
    assert set(re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)) == named
