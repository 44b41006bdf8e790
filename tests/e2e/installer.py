"""What Replicated's installers do with a release: themselves, they are not to be had here."""

import base64
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.chart.replicated import documents, values_of
from tests.e2e.kube import Kube
from tests.services import needs
from waybill.deliver import helm

SPACE = "waybill"
"""The namespace that documents are rendered for."""


@dataclass
class Installer:
    """`answers` are what a person has typed into the form, kept from one release to the next."""

    folder: Path
    answers: dict[str, str] = field(default_factory=dict)

    def documents(self, release: Path, **others: str) -> dict[str, dict[str, Any]]:
        """By file, with other answers where they are given."""
        files = {path.name: path.read_bytes() for path in release.iterdir()}
        found = documents(files, self.answers | others)
        return {name: many[0] for name, many in found.items()}

    def deploy(self, release: Path) -> None:
        """Install or upgrade the charts in the order of their weights; wait as installers do."""
        for spec in self._charts(release):
            values = self.written("values.yaml", values_of({"spec": spec}))
            chart = "{name}-{chartVersion}.tgz".format(**spec["chart"])
            flags = ("--install", "--wait", "--wait-for-jobs", *spec["helmUpgradeFlags"])
            where = (f"--namespace={SPACE}", f"--values={values}")
            helm.run("upgrade", spec["releaseName"], str(release / chart), *flags, *where)

    def remove(self, release: Path) -> str:
        """Uninstall them, the last first. What Helm says."""
        names = [spec["releaseName"] for spec in self._charts(release)]
        flags = ("--wait", f"--namespace={SPACE}")
        return "".join(helm.run("uninstall", name, *flags) for name in reversed(names))

    def _charts(self, release: Path) -> list[dict[str, Any]]:
        found = self.documents(release).values()
        specs = [each["spec"] for each in found if each["kind"] == "HelmChart"]
        return sorted(specs, key=lambda spec: int(spec["weight"]))

    def written(self, name: str, document: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(dict(document)))
        return path

    def preflight(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Check -> pass, warn or fail."""
        said = self._program("WAYBILL_TEST_PREFLIGHT", "--format=json", document=document)
        return {each["title"]: result for result, many in said.items() for each in many}

    def linted(self, document: Mapping[str, Any]) -> list[str]:
        """What Replicated's own linter holds for errors in a document of Troubleshoot."""
        path = self.written("document.yaml", document)
        command = [needs("WAYBILL_TEST_PREFLIGHT"), "lint", "--format=json", str(path)]
        said = subprocess.run(command, cwd=self.folder, capture_output=True, text=True).stdout
        (found,) = json.loads(said)["results"]
        return [each["message"] for each in found["errors"]]

    def support_bundle(
        self, document: Mapping[str, Any], *flags: str
    ) -> tuple[set[tuple[str, str]], Path]:
        """Checks with their severities, debug where all is well, and the folder of what it has."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        flags = (f"--output={folder / 'bundle'}", *flags)
        said = self._program("WAYBILL_TEST_SUPPORT_BUNDLE", *flags, document=document)
        with tarfile.open(said["archivePath"]) as archive:
            archive.extractall(folder, filter="data")
        checks = [each["insight"] for each in said["analyzerResults"]]
        return {(each["primary"], each["severity"]) for each in checks}, folder / "bundle"

    def _program(self, name: str, *flags: str, document: Mapping[str, Any]) -> Any:
        """What it prints. It exits with 3 or 4 where a check fails or warns."""
        path = self.written("document.yaml", document)
        command = [needs(name), "--interactive=false", "--auto-update=false", *flags, str(path)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode in (0, 3, 4), done.stderr
        return json.loads(done.stdout)


def secrets(kube: Kube, namespace: str) -> dict[str, dict[str, str]]:
    """Secret -> key -> value, but for Helm's records."""
    found = kube.core.list_namespaced_secret(namespace).items
    mine = [each for each in found if each.type != "helm.sh/release.v1"]
    return {
        each.metadata.name: {
            key: base64.b64decode(value).decode() for key, value in (each.data or {}).items()
        }
        for each in mine
    }


def claims(kube: Kube, namespace: str, selector: str) -> dict[str, str]:
    """Claim -> the volume that it is bound to."""
    found = kube.core.list_namespaced_persistent_volume_claim(namespace, label_selector=selector)
    return {each.metadata.name: each.spec.volume_name for each in found.items}


def holders(folder: Path, values: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Name of a value and the file that holds it, as it is or in base64."""
    forms = {
        name: (value.encode(), base64.b64encode(value.encode())) for name, value in values.items()
    }
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        yield from ((name, path) for name, both in forms.items() if any(f in data for f in both))
