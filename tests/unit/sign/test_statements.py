"""What packing says about a revision: its license and its bill of materials."""

import json
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from tests.unit.sign.making import manifest, said, signer
from waybill import digest as digests
from waybill.errors import BadFile
from waybill.manifest import PROVENANCE
from waybill.sign import dsse
from waybill.sign.statements import BOM, LICENSE, Statement, bom_statement, license_statement

FACTS = {
    "source": "https://hub.example",
    "repo": "upstream/demo",
    "commit": "c" * 40,
    "license": "apache-2.0",
}


def schema(name: str) -> dict[str, Any]:
    text = (files("cyclonedx") / "schema/_res" / f"{name}.SNAPSHOT.schema.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def cyclonedx() -> Draft7Validator:
    """The official schema of CycloneDX 1.6, with those that it refers to."""
    others = {name: schema(name) for name in ("spdx", "jsf-0.82", "cryptography-defs")}
    base = "http://cyclonedx.org/schema/"
    registry: Registry[Any] = Registry().with_resources(
        (f"{base}{name}.SNAPSHOT.schema.json", Resource.from_contents(one))
        for name, one in others.items()
    )
    return Draft7Validator(schema("bom-1.6"), registry=registry)


def bom(facts: dict[str, Any]) -> dict[str, Any]:
    found = Statement.parse(bom_statement(manifest(), "Acme/Demo", facts, "1.0"), "here")
    assert found.predicate_type == BOM
    assert found.subjects == {manifest().descriptor.digest}
    predicate: dict[str, Any] = found.predicate
    return predicate


@pytest.mark.parametrize(
    "facts",
    [FACTS, {}, {**FACTS, "license": "llama3", "source": "directory"}, {"license": "mit"}],
)
def test_the_bill_of_materials_is_cyclonedx(facts: dict[str, Any], cyclonedx: Any) -> None:
    assert [error.message for error in cyclonedx.iter_errors(bom(facts))] == []
    assert bom(facts) == bom(facts)


def test_the_schema_would_see_a_mistake(cyclonedx: Any) -> None:
    wrong = bom(FACTS)
    wrong["metadata"]["component"]["licenses"] = [{"license": {"id": "apache-2.0"}}]
    assert list(cyclonedx.iter_errors(wrong))


def test_it_names_the_model_its_origin_and_every_file() -> None:
    found = bom(FACTS)
    model = found["metadata"]["component"]
    assert (model["type"], model["group"], model["name"]) == (
        "machine-learning-model",
        "Acme",
        "Demo",
    )
    assert (model["version"], model["supplier"]) == (manifest().commit, {"name": "upstream"})
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["externalReferences"][0]["url"] == "https://hub.example"
    hashes = {one["name"]: one["hashes"][0]["content"] for one in found["components"]}
    assert hashes == {f.path: digests.hex_of(f.digest) for f in manifest().files}


@pytest.mark.parametrize(
    ("named", "spdx"), [("apache-2.0", "Apache-2.0"), ("llama3", None), (None, None)]
)
def test_the_license_comes_with_its_text(named: str | None, spdx: str | None) -> None:
    found = Statement.parse(license_statement(manifest(), named), "here")
    assert found.predicate_type == LICENSE
    texts = {"LICENSE": digests.of(b"free")}
    assert found.predicate == {"license": named, "spdx": spdx, "texts": texts}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"_type": "x"}', b"[" * 100_000])
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(BadFile, match="no in-toto statement"):
        Statement.parse(data, "here")
    with pytest.raises(BadFile, match="no in-toto statement"):
        Statement.head(data, "here")


def test_the_head_of_a_statement_is_it_without_what_it_says() -> None:
    whole, head = (read(said(manifest()), "here") for read in (Statement.parse, Statement.head))
    assert (head.subjects, head.predicate_type) == (whole.subjects, whole.predicate_type)
    assert (head.predicate, bool(whole.predicate)) == (None, True)


def test_the_head_of_a_statement_with_a_key_given_twice_is_refused() -> None:
    data = said(manifest()).replace(b'"predicate":{', b'"predicate":{"x":1,"x":2,', 1)
    with pytest.raises(BadFile, match="'x' is given twice"):
        Statement.head(data, "here")


def test_half_of_a_surrogate_pair_is_refused_also_in_what_the_head_leaves_out() -> None:
    data = said(manifest()).replace(b'"predicate":{', rb'"predicate":{"x":"\ud800",', 1)
    for read in (Statement.parse, Statement.head):
        with pytest.raises(BadFile, match="half of a surrogate pair"):
            read(data, "here")
    whole = data.replace(rb"\ud800", rb"\ud83d\ude00")
    assert Statement.parse(whole, "here").predicate["x"] == "\U0001f600"


def test_an_envelope_holds_the_very_bytes_of_the_statement() -> None:
    made = signer()
    envelope = dsse.Envelope.parse(dsse.sign(said(manifest()), made), "here")
    assert envelope.payload == said(manifest())
    assert Statement.parse(envelope.payload, "here").predicate_type == PROVENANCE
    assert [one.key_id for one in envelope.signatures] == [made.key_id]


def test_the_encoding_is_that_of_the_specification() -> None:
    told = dsse.encoded(b"hello world", "http://example.com/HelloWorld")
    assert told == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"payloadType": "text/plain", "payload": "", "signatures": []}', b"[" * 100_000],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(BadFile, match="no envelope of a statement"):
        dsse.Envelope.parse(data, "here")
