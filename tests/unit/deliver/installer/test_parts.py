"""What releases are made of: archives, places of images, expressions, shapes of output."""

import contextlib
import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import yaml

from waybill.deliver.installer import charts, config, images
from waybill.deliver.installer.charts import Chart, archived, unpacked
from waybill.deliver.installer.targets import TARGETS
from waybill.deliver.installer.yamlfile import dump
from waybill.deliver.secrets import Plan
from waybill.errors import BadFile

IMAGE = {"registry": "quay.io", "repository": "keycloak/keycloak", "tag": "1"}


def test_an_archive_has_no_time_no_owner_and_one_order() -> None:
    one, other = archived({"b": b"2", "a": b"1"}), archived({"a": b"1", "b": b"2"})
    assert one == other
    header = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"
    assert one[:10] == header, "no time, and no system that another Python would name"
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert [(m.name, m.mtime, m.uid, m.gid, m.uname) for m in archive] == [
            ("a", 0, 0, 0, ""),
            ("b", 0, 0, 0, ""),
        ]
    assert unpacked(one) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "chart/../../out"])
def test_an_archive_that_leaves_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    path.write_bytes(archived({name: b"x"}))
    with pytest.raises(BadFile, match="does not belong into a chart"):
        Chart.read(path)


def headed(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    """What stands before a file in a tar, and gives it a long name or other records."""
    head = tarfile.TarInfo("a/Chart.yaml")
    head.type, head.size = kind, len(data) if size is None else size
    return head.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


PLAIN = gzip.decompress(archived({"a/Chart.yaml": b"{name: a, version: 1.0.0}"}))
RECORDS = b"".join(b"13 %05d=abc\n" % number for number in range(90_000))


@pytest.mark.parametrize(
    "before",
    [
        headed(tarfile.GNUTYPE_LONGNAME, bytes(20_000_000)),
        headed(tarfile.XHDTYPE, RECORDS),
        b"".join(
            headed(tarfile.XGLTYPE, RECORDS[at : at + 13_000])
            for at in range(0, len(RECORDS), 13_000)
        )
        + headed(tarfile.XHDTYPE, b"") * 40,
    ],
    ids=["long-name", "records", "records-of-all"],
)
def test_a_small_archive_does_not_fill_the_memory(
    before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "CHART_LIMIT", 2_000_000)
    data = gzip.compress(before + PLAIN)
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            unpacked(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "before",
    [
        headed(tarfile.GNUTYPE_LONGNAME, b"a/b") * 2000,
        headed(tarfile.GNUTYPE_LONGNAME, b"", 1 << 80),
        headed(tarfile.REGTYPE, b"", -1024),
        headed(tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
    ],
    ids=["nested", "too-long", "backwards", "holes"],
)
def test_an_archive_that_misleads_its_reader_is_refused(before: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    path.write_bytes(gzip.compress(before + PLAIN))
    with pytest.raises(BadFile, match=r"chart\.tgz cannot be used: it is no archive of a chart"):
        Chart.read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_an_archive_of_more_than_files_and_folders_is_refused(kind: bytes, tmp_path: Path) -> None:
    """Without it, the chart would not be whole."""
    path = tmp_path / "chart.tgz"
    path.write_bytes(gzip.compress(headed(kind, b"") + PLAIN))
    with pytest.raises(BadFile, match=r"a/Chart\.yaml is neither a file nor a folder"):
        Chart.read(path)


def test_folders_and_long_names_are_read() -> None:
    long = f"a/{'b' * 124}"
    named = headed(tarfile.XHDTYPE, f"136 path={long}\n".encode())
    of_all = headed(tarfile.XGLTYPE, b"14 comment=ab\n")
    raw = of_all + headed(tarfile.DIRTYPE, b"") + named + PLAIN
    assert unpacked(gzip.compress(raw)).keys() == {long}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        gzip.compress(b"text"),
        archived({"a/Chart.yaml": b"name: a"})[:-20],
        archived({"a/b.yaml": b""}),
        archived({"a/Chart.yaml": b"[]"}),
        archived({"a/Chart.yaml": b"name: a"}),
    ],
    ids=["empty", "text", "no-tar", "cut", "no-chart", "no-map", "no-version"],
)
def test_what_is_no_chart_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"chart\.tgz"):
        Chart.read(path)


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (">=1.27.0-0", "1.27.0"),
        ("=1.27.3", "1.27.3"),
        ("~1.27.1 <1.27.9", "1.27.1"),
        (">1.27.3", "1.27.99"),
        ("1.27.x", "1.27.99"),
        ("<1.30", "1.36.0"),
        ("", "1.36.0"),
    ],
)
def test_a_chart_is_rendered_for_a_version_that_it_takes(asked: str, version: str) -> None:
    assert Chart("a", "1.0.0", b"", {"kubeVersion": asked}).kubernetes == version


def test_images_are_found_wherever_values_name_them() -> None:
    values = {
        "global": {
            "profiles": {
                "cpu": {"image": {"repository": "vllm/cpu"}},
                "h100": {"image": {"tag": "3"}},
                "same": {"image": {"digest": "sha256:00"}},
            },
            "image": IMAGE,
        },
        "vllm": {"image": {**IMAGE, "repository": "vllm/gpu", "tag": "2"}, "pull": {"image": {}}},
        "gateway": {"ingress": {"host": "repository"}},
    }
    found = {".".join(place.path): (place.name, place.rendered) for place in images.places(values)}
    assert found == {
        "global.image": ("quay.io/keycloak/keycloak:1", True),
        "global.profiles.cpu.image": ("quay.io/vllm/cpu:2", False),
        "global.profiles.h100.image": ("quay.io/vllm/gpu:3", False),
        "global.profiles.same.image": ("quay.io/vllm/gpu:2", False),
        "vllm.image": ("quay.io/vllm/gpu:2", False),
    }


def test_each_installer_puts_its_own_registry_into_an_image() -> None:
    for name in ("kots", "ec2"):
        keys = TARGETS[name].image(IMAGE)
        assert keys.keys() == {"registry", "repository", "digest"}
        assert 'ternary LocalRegistryHost "quay.io"' in keys["registry"]
        assert '(print LocalRegistryNamespace "/keycloak" | trimPrefix "/")' in keys["repository"]
    ours = TARGETS["ec3"].image(IMAGE)
    assert ours == {
        "registry": 'repl{{ ReplicatedImageRegistry "quay.io" true | toJson }}',
        "digest": "",
    }
    private = TARGETS["ec3"].image({**IMAGE, "registry": "registry.vendor.example"})
    assert private["registry"].endswith('"registry.vendor.example" | toJson }}'), (
        "through the proxy"
    )


def test_random_values_alone_become_hidden_options() -> None:
    plan = Plan({}, {"w-a": {"KEY": {"random": 40}, "user": {"value": "w"}}})
    *_, group = config.config(plan)["spec"]["groups"]
    (item,) = group["items"]
    assert item["name"] == "secret_w_a_key"
    assert (item["hidden"], item["type"]) == (True, "password")
    assert item["value"] == "repl{{ RandomString 40 }}"
    assert config.generated(plan) == {
        "w-a": {"KEY": 'repl{{ ConfigOption "secret_w_a_key" | toJson }}', "user": "w"}
    }


def test_the_form_says_that_models_outlive_an_uninstall() -> None:
    groups = config.config(Plan({}, {}))["spec"]["groups"]
    items = {item["name"]: item for group in groups for item in group["items"]}
    assert "Uninstalling keeps the volume." in items["storage_size"]["help_text"]


def test_expressions_stand_without_quotes_and_texts_come_back() -> None:
    document = {
        "a": 'repl{{ ConfigOption "x" | toJson }}',
        "b": "1",
        "c": "two\nlines\n",
        "d": "on",
    }
    text = dump(document)
    assert text.startswith('a: repl{{ ConfigOption "x" | toJson }}\n')
    assert yaml.safe_load(text) == document
