"""What the cluster would see of a plan: rendered by a real Helm from the pins as they will be."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART
from tests.services import needs
from tests.unit.release.site import Site, new_site
from waybill.release import outlook

VALUES = {
    "global": {
        "models": {
            "chat": {"enabled": True, "profile": "small", "engineArgs": {"max-model-len": 512}}
        },
        "profiles": {"small": {"enabled": True, "resources": {"requests": {"cpu": "1"}}}},
    }
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    made = new_site(tmp_path / "project")
    (made.project / "values/test.yaml").write_text(yaml.safe_dump(VALUES))
    return made


def test_engine_of_the_new_revision_and_what_names_it_would_change(site: Site) -> None:
    before = {path: path.read_bytes() for path in site.project.rglob("*") if path.is_file()}
    promotion = site.prepare().promotion
    found = outlook.render(promotion, CHART)
    assert found["skipped"] is None
    old, new = str(site.world.stable("test"))[:8], site.commit()[:8]
    named = {(one["verb"], one["kind"], one["name"]) for one in found["changes"]}
    assert ("add", "Deployment", f"waybill-vllm-chat-{new}") in named
    assert not [one for one in named if "Secret" in one]
    told = "\n".join(line for one in found["changes"] for line in one["lines"])
    assert new in told and old in told
    after = {path: path.read_bytes() for path in site.project.rglob("*") if path.is_file()}
    assert after == before


def test_nothing_changes_where_the_pin_stays(site: Site) -> None:
    site.world.promote("dev", "test")
    assert outlook.render(site.prepare().promotion, CHART) == {"skipped": None, "changes": []}


def test_values_that_do_not_render_are_told_in_the_plan(site: Site) -> None:
    (site.project / "values/test.yaml").write_text("global: {models: {chat: {enbled: true}}}\n")
    found = outlook.render(site.prepare().promotion, CHART)
    assert found["changes"] == []
    assert "enbled" in found["skipped"]


def test_without_helm_or_chart_it_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    promotion = site.prepare().promotion
    assert "there is no chart" in outlook.render(promotion, site.project / "chart")["skipped"]
    monkeypatch.setenv("WAYBILL_HELM", shutil.which("no-such-helm") or "no-such-helm")
    assert "no-such-helm" in outlook.render(promotion, CHART)["skipped"]
