"""The rule of what comes out when a release is installed as it comes."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from waybill.deliver.installer.lint.folder import Folder
from waybill.deliver.installer.lint.rule import Found, rule
from waybill.deliver.installer.rendering import Site, default, render
from waybill.errors import HelmFailed
from waybill.files import NOT_YAML


@rule("invalid-rendered-yaml", "error")
def invalid_rendered(folder: Folder) -> Found:
    """With the defaults of the config screen, from the internet and out of an archive.

    Raises HelmMissing.
    """
    for place in _places(folder):
        try:
            texts = render(folder.texts, place)
        except HelmFailed as error:
            yield "", f"a template cannot be rendered: {error.facts['why']}"
            return
        for file, text in texts.items():
            try:
                list(yaml.safe_load_all(text))
            except NOT_YAML as error:
                yield file, "what it renders to is no YAML: " + " ".join(str(error).split())


def _places(folder: Folder) -> Iterator[Site]:
    options = {item["name"]: default(item) for _, item in folder.items}
    yield Site(options)
    yield Site(options, "registry.local:5000", "apps")
