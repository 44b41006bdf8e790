"""values/environments.yaml: what is taken, and the sentence for what is not."""

from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from waybill.deliver.environments import SCHEMA, Environments
from waybill.errors import BadFile, UnknownEnvironment
from waybill.store.filesystem import FilesystemBackend
from waybill.store.s3 import S3Backend


def written(project: Path, text: str) -> Path:
    (project / "values").mkdir(exist_ok=True)
    (project / "values/environments.yaml").write_text(text)
    return project


def refused(project: Path, text: str) -> str:
    with pytest.raises(BadFile) as caught:
        Environments.load(written(project, text))
    assert str(caught.value).startswith(f"{project}/values/environments.yaml cannot be used: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_order_in_the_file_is_the_order_of_promotion(tmp_path: Path) -> None:
    text = "environments: {prod: {store: a}, dev: {store: b}, later: {store: c}}"
    environments = Environments.load(written(tmp_path, text))
    assert list(environments) == ["prod", "dev", "later"]
    assert [environments.next(name) for name in environments] == ["dev", "later", None]


def test_everything_left_out_has_its_default(tmp_path: Path) -> None:
    dev = Environments.load(written(tmp_path, "environments: {dev: {store: s3://b/p}}"))["dev"]
    assert (dev.store, dev.release, dev.namespace, dev.endpoint) == (
        "s3://b/p",
        "waybill",
        None,
        None,
    )
    assert dev.pins_path == tmp_path / "values/pins/dev.yaml"
    assert dev.values_path == tmp_path / "values/dev.yaml"


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = """
environments:
  dev:
    store: s3://models/dev
    endpoint: https://minio:9000
    profile: waybill-dev
    caBundle: ca/dev.pem
    kubeContext: admin@dev
    namespace: llm
    release: llm-dev
    values: people/dev.yaml
    pins: people/dev-pins.yaml
"""
    dev = Environments.load(written(tmp_path, text))["dev"]
    assert dev.ca_bundle == str(tmp_path / "ca/dev.pem")
    assert (dev.kube_context, dev.namespace, dev.release) == ("admin@dev", "llm", "llm-dev")
    assert dev.values_path == tmp_path / "people/dev.yaml"
    assert dev.pins_path == tmp_path / "people/dev-pins.yaml"
    with pytest.raises(BadFile, match=r"caBundle .*ca/dev.pem cannot be used: there is no such"):
        dev.connect()
    backend = replace(dev, ca_bundle=None).connect().backend
    assert isinstance(backend, S3Backend)
    assert backend.url == "s3://models/dev"


def test_what_an_image_may_hold_is_said_for_all(tmp_path: Path) -> None:
    text = "environments: {dev: {store: a}}"
    assert Environments.load(written(tmp_path, text)).model_limit is None
    said = f"images: {{modelLimit: 2GB}}\n{text}"
    assert Environments.load(written(tmp_path, said)).model_limit == 2 * 10**9
    assert "images.modelLimit: 'much' is not a size" in refused(
        tmp_path, f"images: {{modelLimit: much}}\n{text}"
    )


@pytest.mark.parametrize("store", ["stores/dev", "file:stores/dev", "./stores/dev"])
def test_relative_store_lies_in_the_project(tmp_path: Path, store: str) -> None:
    text = f"environments: {{dev: {{store: '{store}'}}}}"
    backend = Environments.load(written(tmp_path, text))["dev"].connect().backend
    assert isinstance(backend, FilesystemBackend)
    assert backend.root == tmp_path / "stores/dev"


@pytest.mark.parametrize("store", ["/srv/a store", "file:///srv/a%20store"])
def test_absolute_store_stays_where_it_is(tmp_path: Path, store: str) -> None:
    text = f"environments: {{dev: {{store: '{store}'}}}}"
    backend = Environments.load(written(tmp_path, text))["dev"].connect().backend
    assert isinstance(backend, FilesystemBackend)
    assert backend.root == Path("/srv/a store")


def test_unknown_environment_is_told_with_the_known_ones(tmp_path: Path) -> None:
    environments = Environments.load(
        written(tmp_path, "environments: {dev: {store: a}, test: {store: b}}")
    )
    with pytest.raises(
        UnknownEnvironment, match=r"there is no environment 'stage' in .*environments"
    ) as caught:
        environments["stage"]
    assert caught.value.advice == "use one of: dev, test"
    assert "stage" not in environments
    assert "dev" in environments


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("environments: {}", "environments: {} should be non-empty"),
        ("other: 1", "the key 'other' is not known; known are: environments"),
        ("{}", "the key 'environments' is missing"),
        ("[dev]", "['dev'] is not a map"),
        ("environments: {dev: {}}", "environments.dev: the key 'store' is missing"),
        ("environments: {dev: {store: 7}}", "environments.dev.store: 7 is not a string; quote it"),
        ("environments: {dev: {store: }}", "environments.dev.store: None is not a string"),
        (
            "environments: {dev: {store: a, secretKey: b}}",
            "environments.dev: the key 'secretKey' is not known; known are: store, endpoint",
        ),
        (
            "environments: {Dev: {store: a}}",
            "environments: 'Dev' is not a name of at most 24 lower-case letters, digits and dashes",
        ),
        (
            "environments: {dev: {store: a}, dev: {store: b}}",
            "line 1: the key 'dev' stands there twice",
        ),
        (
            "environments:\n  dev:\n    store: a\n    store: b",
            "line 4: the key 'store' stands there",
        ),
        ("environments: {on: {store: a}}", "line 1: this key is not a string; quote it"),
        ("environments: {12: {store: a}}", "line 1: this key is not a string; quote it"),
        ("environments: {dev: {store: |\n  a\n}}", "found character"),
        ('environments: {"dev": {store: "a\\nb"}}', "line 1: a value has more than one line"),
        ("environments: {dev: {store: a", "line 1: expected ',' or '}'"),
        ("environments: {dev: !!python/name:os.system {}}", "could not determine a constructor"),
        (
            "environments: {dev: {store: 's3://key:secret@bucket'}}",
            "is not s3://bucket/prefix, file:///path or a path, without credentials",
        ),
        (
            "environments: {dev: {store: a, endpoint: 'https://me:secret@minio'}}",
            "environments.dev.endpoint: 'https://***@minio' is not an http or https URL "
            "without credentials",
        ),
        ("environments: {dev: {store: 'ftp://a/b'}}", "is not s3://bucket/prefix"),
        ("environments: {dev: {store: a, namespace: A_b}}", "'A_b' is not a Kubernetes namespace"),
        ("environments: {dev: {store: 's3://[x'}}", "environments.dev: Invalid IPv6 URL"),
        (
            "environments: {dev: {store: s3://a, endpoint: 'http://[x'}}",
            "environments.dev: Invalid IPv6 URL",
        ),
        ("environments: {dev: {store: 'file:x%00y'}}", "'file:x%00y' holds a NUL"),
        ("environments: !!bool foo", "it is not YAML text"),
        ('environments: !!int ""', "it is not YAML text"),
        ("environments: !!timestamp foo", "it is not YAML text"),
        ("environments: 1" + ":00" * 400 + ".0", "it is not YAML text"),
        (f"environments: 0b{'1' * 20_000}", "it is not YAML text"),
        ("[" * 600, "it is nested too deeply"),
        ('environments: {dev: {store: "x\\0y"}}', "line 1: a value holds a character that cannot"),
        ('environments: {dev: {store: "\\ud800"}}', "line 1: a value holds a character that"),
    ],
)
def test_wrong_file_gets_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    assert why in refused(tmp_path, text)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "").joinpath("values/environments.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="it is not YAML text"):
        Environments.load(tmp_path)


def test_missing_file_says_how_to_name_the_project(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no such file; --project DIR says where it lies"):
        Environments.load(tmp_path)


def test_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "values/environments.yaml").mkdir(parents=True)
    with pytest.raises(BadFile, match="Is a directory"):
        Environments.load(tmp_path)


def test_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="File name too long"):
        Environments.load(tmp_path / ("x" * 300))


def test_shipped_sample_and_schema_are_right() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert list(Environments.load(Path(__file__).parents[3])) == ["dev", "test", "prod"]
