"""The manifest: the same files give the same bytes, and nothing else is accepted."""

import json
import subprocess
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill import digest as digests
from waybill.errors import BadFile, BadValue, UnsafePath
from waybill.manifest import (
    FILEPATH,
    GIT_OID,
    MAX_FILES,
    Descriptor,
    File,
    Manifest,
    canonical,
    canonical_pieces,
    from_json,
    git_blob_hasher,
    git_blob_id,
    provenance,
    safe_path,
    together,
)


def file(path: str, data: bytes = b"", oid: str | None = None) -> File:
    return File(path, digests.of(data), len(data), oid)


MODEL = Manifest.of(
    [
        file("model.safetensors", b"weights"),
        file("config.json", b"{}", git_blob_id(b"{}")),
        file("1_Pooling/config.json", b"{}", git_blob_id(b"{}")),
        file("README.md", b"# Model\n", git_blob_id(b"# Model\n")),
        file("code/model.py", b"", git_blob_id(b"")),
    ]
)

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
contents = st.builds(
    lambda data, small: (data, git_blob_id(data) if small else None), st.binary(), st.booleans()
)


def usable(path: str) -> bool:
    try:
        return safe_path(path, "test") == path
    except UnsafePath:
        return False


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    drawn = draw(st.dictionaries(paths.filter(usable), contents, min_size=1, max_size=8))
    folders = {str(parent) for path in drawn for parent in PurePosixPath(path).parents}
    return Manifest.of(
        file(path, data, oid) for path, (data, oid) in drawn.items() if path not in folders
    )


# The format.


def test_the_format_does_not_change_by_accident() -> None:
    """Every store, bundle and pin holds such digests: a new one is a new format."""
    assert MODEL.descriptor.digest == (
        "sha256:28276cffc2893b8b6662c09968a22c325d2cecb33b71c0793e2b4969437dde1f"
    )
    assert MODEL.commit == digests.hex_of(MODEL.descriptor.digest)[:40]
    assert digests.of(MODEL.config) == (
        "sha256:9162c5c7d45d9c3761c3c9651600a2ff8fd69bb3a9b1f6d97041168d52d5d9ca"
    )


def test_it_is_an_oci_image_manifest_with_modelpack_media_types() -> None:
    manifest = json.loads(MODEL.data)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"] == {
        "mediaType": "application/vnd.cncf.model.config.v1+json",
        "digest": digests.of(MODEL.config),
        "size": len(MODEL.config),
    }
    layers = {layer["annotations"][FILEPATH]: layer for layer in manifest["layers"]}
    kinds = {path: layer["mediaType"].split(".model.")[1] for path, layer in layers.items()}
    assert kinds == {
        "1_Pooling/config.json": "weight.config.v1.raw",
        "README.md": "doc.v1.raw",
        "code/model.py": "code.v1.raw",
        "config.json": "weight.config.v1.raw",
        "model.safetensors": "weight.v1.raw",
    }
    assert layers["model.safetensors"]["digest"] == digests.of(b"weights")
    assert GIT_OID not in layers["model.safetensors"]["annotations"]


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"\u20ac": 1, "\r": 2, "1": {"b": [1e21, 0.5, -0.0], "a": '\u0007"\\/\u00e9'}}
    assert canonical(value) == (
        b'{"\\r":2,"1":{"a":"\\u0007\\"\\\\/\xc3\xa9","b":[1e+21,0.5,0]},"\xe2\x82\xac":1}'
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    ),
    st.integers(1, 5),
)
def test_pieces_are_the_canonical_form_together(value: Any, length: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waybill.manifest._SLICE", length)
        assert together(canonical_pieces(value)) == canonical(value)


def test_what_is_nested_deeply_takes_no_longer_for_it() -> None:
    """Each piece would go through all levels above it: 100,000 of them through 400."""
    value: Any = [1] * 100_000
    for _ in range(400):
        value = [value]
    assert sum(1 for _ in canonical_pieces(value)) < 100


@given(st.lists(TEXTS), st.integers(1, 5))
def test_bytes_stand_for_texts_and_iterators_for_lists(texts: list[str], length: int) -> None:
    data, made = [text.encode() for text in texts], Descriptor.of(b"x", "y")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waybill.manifest._SLICE", length)
        pieces = canonical_pieces({"a": data, "b": iter(texts), "c": [made]})
        expected = canonical({"a": texts, "b": texts, "c": [made.as_json()]})
        assert together(pieces) == expected


@given(manifests())
def test_a_manifest_comes_back_from_its_bytes(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.data, "here") == manifest
    assert canonical(json.loads(manifest.data)) == manifest.data


@given(manifests(), st.randoms())
def test_the_order_in_which_files_are_found_does_not_matter(manifest: Manifest, dice: Any) -> None:
    shuffled = list(manifest.files)
    dice.shuffle(shuffled)
    assert Manifest.of(shuffled).data == manifest.data


def test_each_content_stands_once_in_order_of_first_use() -> None:
    manifest = Manifest.of([file("a", b"1"), file("b.bin", b"2"), file("c.bin", b"1"), file("d")])
    assert list(manifest.blobs) == [digests.of(b"1"), digests.of(b"2"), digests.of(b"")]
    assert manifest.blobs[digests.of(b"1")] == manifest.by_path["a"].descriptor
    assert manifest.size == 3


def test_provenance_names_the_manifest_and_says_where_it_came_from() -> None:
    statement = json.loads(provenance(MODEL, {"source": "hf", "dropped": ["x.bin"]}, "waybill 1"))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    [subject] = statement["subject"]
    assert "sha256:" + subject["digest"]["sha256"] == MODEL.descriptor.digest
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"source": "hf", "dropped": ["x.bin"]}


# Git.


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 40, "äöü\r\n".encode()])
def test_a_git_oid_is_that_of_git(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    command = ["git", "hash-object", "--no-filters", str(path)]
    oid = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert git_blob_id(data) == oid
    piecewise = git_blob_hasher(len(data))
    piecewise.update(data)
    assert piecewise.hexdigest() == oid
    assert file("file", data, oid).oid == oid


def test_a_large_file_has_the_oid_of_its_lfs_pointer() -> None:
    # The example of the git-lfs specification.
    oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    large = File("model.bin", digests.from_hex(oid), 12345)
    assert large.lfs_pointer == (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
        b"size 12345\n"
    )
    assert large.oid == git_blob_id(large.lfs_pointer)


# What is refused.


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../x",
        "a/..",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\x",
        "a\nb",
        "a\0b",
        "a\x7fb",
        "x" * 241,
        "\u00e4" * 121,
        "/".join(["x" * 200] * 6),
        "not-utf8-\udcff",
    ],
)
def test_a_path_that_is_not_plain_and_below_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath, match="in the manifest is refused") as caught:
        Manifest.of([file(path)])
    assert caught.value.advice
    with pytest.raises(UnsafePath):
        File.from_layer({**file("a").as_json(), "annotations": {FILEPATH: path}})


@given(
    st.one_of(st.text(), st.lists(st.sampled_from(["..", ".", "", "a", "\\", "/"])).map("/".join))
)
def test_no_path_leaves_the_folder_that_it_is_joined_to(path: str) -> None:
    if usable(path):
        root = Path("/srv/model")
        assert (root / path).resolve().is_relative_to(root)
        assert (root / path).relative_to(root).as_posix() == path


def test_the_same_path_twice_is_refused() -> None:
    with pytest.raises(UnsafePath, match="it stands there twice"):
        Manifest.of([file("a", b"1"), file("b"), file("a", b"2")])


@pytest.mark.parametrize("inner", ["a/b", "a/b/c"])
def test_a_file_that_is_also_a_folder_is_refused(inner: str) -> None:
    with pytest.raises(UnsafePath, match="a folder of it is also a file"):
        Manifest.of([file("a"), file("a-b"), file(inner)])


def test_only_so_many_files_fit() -> None:
    many = [file(f"{number:05}") for number in range(MAX_FILES + 1)]
    assert len(Manifest.of(many[:-1]).files) == MAX_FILES
    with pytest.raises(BadValue, match="number of files 10001 is not usable: 1 to 10,000 fit"):
        Manifest.of(many)
    with pytest.raises(BadValue, match="number of files 0 is not usable"):
        Manifest.of([])


def test_one_digest_has_one_size() -> None:
    with pytest.raises(BadValue, match="size 2 is not usable: b cannot have it"):
        Manifest.of([File("a", digests.of(b"x"), 1), File("b", digests.of(b"x"), 2)])
    with pytest.raises(BadValue, match="size -1"):
        Manifest.of([File("a", digests.of(b"x"), -1)])


def changed(**changes: Any) -> bytes:
    return canonical({**json.loads(MODEL.data), **changes})


def with_layer(**changes: Any) -> bytes:
    layers = json.loads(MODEL.data)["layers"]
    return changed(layers=[{**layers[0], **changes}, *layers[1:]])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"layers":null}',
        b'{"layers":[]}',
        b"[" * 100_000,
        MODEL.data + b"\n",
        MODEL.data.replace(b":", b": ", 1),
        MODEL.data.replace(b'"schemaVersion":2', b'"schemaVersion":2,"schemaVersion":2'),
        json.dumps(json.loads(MODEL.data)).encode(),
        changed(annotations={"x": "y"}),
        changed(schemaVersion=3),
        changed(config=Descriptor.of(b"", "x").as_json()),
        changed(layers=list(reversed(json.loads(MODEL.data)["layers"]))),
        with_layer(size=-1),
        with_layer(size="2"),
        with_layer(size=None),
        with_layer(digest="sha256:" + "../" * 21 + "x"),
        with_layer(mediaType="application/octet-stream"),
        with_layer(annotations={}),
        with_layer(annotations={FILEPATH: 5}),
        with_layer(annotations={FILEPATH: "a", GIT_OID: 'x"\r\nSet-Cookie: y'}),
        with_layer(annotations={FILEPATH: "a", GIT_OID: ["x"]}),
        with_layer(annotations={FILEPATH: "a", GIT_OID: ""}),
        MODEL.data.replace(b'"size":2', b'"size":1e999', 1),
        MODEL.data.replace(b'"size":2', b'"size":' + b"9" * 40, 1),
        MODEL.data.replace(b'"size":2', b'"size":NaN', 1),
    ],
    ids=count(),
)
def test_bytes_that_are_not_the_canonical_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(BadFile, match="there cannot be used: it is not a") as caught:
        Manifest.parse(data, "there")
    assert caught.value.exit_code == 2


def test_a_manifest_with_a_path_that_escapes_is_refused_by_that_name() -> None:
    with pytest.raises(UnsafePath, match=r"'\.\./x' in the manifest is refused"):
        Manifest.parse(with_layer(annotations={FILEPATH: "../x"}), "there")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1e400",
            "-1e400",
            "NaN",
            "Infinity",
            str(2**53 + 1),
            str(-(2**60)),
            "9" * 400,
            "9" * 5000,
        ),
        *(r'"\ud800"', r'"\udfff x"', r'{"\ud800": 1}', r'["\udc00\ud800"]'),
        *("", "[", "{'a': 1}", "[" * 100_000),
    ],
)
def test_what_canonical_json_cannot_say_is_not_read(text: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises((ValueError, RecursionError)) as caught:
            from_json(data)
        assert len(str(caught.value)) < 200
        str(caught.value).encode()


def test_surrogates_that_stand_there_as_bytes_are_not_read() -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        from_json(b'"\xed\xa0\x80"')


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
def test_what_is_read_can_be_said_again(value: Any) -> None:
    try:
        found = from_json(json.dumps(value))
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            canonical(value)
        return
    said = canonical(found)
    assert from_json(said) == found
    with suppress(ValueError):
        assert canonical(value) == said


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 2, "a": 1}}]'])
def test_key_that_is_given_twice_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="the key 'a' is given twice"):
        from_json(text)
