"""`waybill package` of a packed chart: the release that its folder gives, or a refusal."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chart import replicated
from tests.chart.rendering import CHART, HELM
from tests.services import needs
from tests.unit.bundle.bundles import bytes_below
from waybill.cli.main import main
from waybill.deliver.installer.charts import archived, packaged, unpacked


@pytest.fixture(autouse=True)
def helm4() -> Iterator[None]:
    patch = replicated.program(4)
    yield
    patch.undo()


def released(out: Path, chart: Path, *more: str) -> dict[str, str]:
    target = ("--target", "ec3", "--chart", str(chart))
    assert main(["package", *target, "--out", str(out), *more]) == 0
    return bytes_below(out)


def by_helm(major: int) -> Callable[[Path], Path]:
    def pack(folder: Path) -> Path:
        command = [needs(HELM[major]), "package", str(CHART), f"--destination={folder}"]
        subprocess.run(command, check=True, capture_output=True)
        (made,) = folder.glob("*.tgz")
        return made

    return pack


def by_hand(folder: Path) -> Path:
    """As it lies there, in an order of its own, and under the name of another folder."""
    with tarfile.open(folder / "other.tgz", "w:gz") as archive:
        for path in sorted(CHART.rglob("*"), reverse=True):
            archive.add(path, f"elsewhere/{path.relative_to(CHART)}", recursive=False)
    return folder / "other.tgz"


def as_a_bundle_has_it(folder: Path) -> Path:
    (folder / "of-a-bundle.tgz").write_bytes(packaged(CHART, None).data)
    return folder / "of-a-bundle.tgz"


@pytest.mark.parametrize("version", [(), ("--version", "1.4.0")], ids=["own", "given"])
def test_however_it_was_packed_it_gives_the_bytes_of_its_folder(
    version: tuple[str, ...], tmp_path: Path
) -> None:
    wanted = released(tmp_path / "of-the-folder", CHART, *version)
    for at, pack in enumerate((by_helm(3), by_helm(4), by_hand, as_a_bundle_has_it)):
        made = tmp_path / f"packed-{at}"
        made.mkdir()
        assert released(tmp_path / f"out-{at}", pack(made), *version) == wanted


def with_more(*members: tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, data in unpacked(packaged(CHART, None).data).items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in members:
            archive.addfile(info)
    return gzip.compress(raw.getvalue())


def link() -> bytes:
    info = tarfile.TarInfo("waybill/templates/link.yaml")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
    return with_more(info)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (link, "neither a file nor a folder"),
        (lambda: with_more(tarfile.TarInfo("waybill/../../out")), "does not belong into a chart"),
        (lambda: with_more(tarfile.TarInfo("beside/a.yaml")), "not in one folder"),
        (lambda: with_more(tarfile.TarInfo("waybill/values.yaml/x")), "both a file and a folder"),
        (lambda: gzip.compress(bytes(200_000_000), 1), "more than 100,000,000 bytes"),
        (lambda: archived({"waybill/values.yaml": b""}), "no archive of a chart"),
        (lambda: b"text", "no archive of a chart"),
    ],
    ids=["link", "outside", "two-folders", "file-and-folder", "bomb", "no-chart", "text"],
)
def test_what_is_no_chart_is_refused_and_nothing_is_written(
    made: Callable[[], bytes], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, out = tmp_path / "chart.tgz", tmp_path / "made/out"
    packed.write_bytes(made())
    code = main(["package", "--target", "ec3", "--chart", str(packed), "--out", str(out)])
    said = capsys.readouterr().err
    assert (code, why in said, "chart.tgz" in said) == (2, True, True), said
    assert not out.parent.exists()
