"""The linter of engineArgs: what it refuses, in which words, and what it leaves alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from waybill.deliver.engine_arguments import OWNED, engine_argument_findings, flags

VERSION = flags().version


def found(values: dict[str, Any]) -> list[str]:
    return engine_argument_findings(values)


def test_the_charts_own_defaults_are_good() -> None:
    values = yaml.safe_load(Path("charts/waybill/values.yaml").read_text())
    assert values["vllm"]["engineArgs"]
    assert found(values) == []
    assert values["vllm"]["image"]["tag"] == f"v{VERSION}"


def test_every_owned_option_is_one() -> None:
    assert set(OWNED) <= set(flags().known)


GOOD: dict[str, Any] = {
    "max-model-len": 8192,
    "max-num-seqs": 64.0,
    "dtype": "bfloat16",
    "gpu-memory-utilization": 0.85,
    "enable-prefix-caching": False,
    "disable-log-stats": True,
    "cudagraph-capture-sizes": [1, 2, 4],
    "speculative-config": {"method": "ngram"},
    "compilation-config.mode": 3,
    "kv-cache-dtype": None,
    "middleware": ["one"],
    "quantization": "fp8",
}


def test_what_vllm_takes_is_left_alone() -> None:
    assert found({"vllm": {"engineArgs": GOOD}}) == []


WRONG: dict[str, tuple[str, object, str]] = {
    "an old name": (
        "disable-log-requests",
        True,
        f"is no option of vLLM {VERSION}; did you mean enable-log-requests?",
    ),
    "a slip": ("max-num-batched-token", 1, "; did you mean max-num-batched-tokens?"),
    "an underscore": ("max_model_len", 1, "; did you mean max-model-len?"),
    "a negation": ("no-enforce-eager", True, "; write enforce-eager: false"),
    "nothing like it": ("colour", "red", f"is no option of vLLM {VERSION}"),
    "no boolean": ("enforce-eager", "yes", "is 'yes': write true or false"),
    "a switch": ("disable-log-stats", False, "is False: write true, or leave it out"),
    "no integer": ("max-num-seqs", "many", "is 'many': write a whole number"),
    "half of one": ("max-num-seqs", 1.5, "is 1.5: write a whole number"),
    "no number": ("gpu-memory-utilization", "90%", "is '90%': write a number"),
    "a boolean number": ("gpu-memory-utilization", True, "is True: write a number"),
    "no choice": ("dtype", "int8", "is 'int8': choose from auto, bfloat16"),
    "a list": ("quantization", ["a"], "write one value; where vLLM wants JSON, as text"),
    "a boolean": ("max-model-len", True, "write its value: it is no yes or no"),
    "a map": ("cudagraph-capture-sizes", {}, "write a list"),
    "too many": ("middleware", ["a", "b"], "vLLM wants the option once for each"),
    "ours": ("port", 9, "is not yours to set: the gateway, the Service and the probes"),
    "the names": ("served-model-name", "x", "it follows from the model's servedNames"),
    "a secret": ("api-key", "x", "no place for a secret"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_vllm_would_refuse_is_said_with_the_way_out(what: str) -> None:
    name, value, told = WRONG[what]
    (finding,) = found({"vllm": {"engineArgs": {name: value}}})
    assert finding.startswith(f"vllm.engineArgs.{name} is ")
    assert told in finding


def test_all_three_places_are_read_and_disabled_entries_are_not() -> None:
    wrong = {"enabled": True, "engineArgs": {"colour": 1}}
    off = {**wrong, "enabled": False}
    values = {
        "vllm": {"engineArgs": {"colour": 1}},
        "global": {"profiles": {"gpu": wrong, "old": off}, "models": {"a": wrong, "b": off}},
    }
    assert [one.partition(" ")[0] for one in found(values)] == [
        "vllm.engineArgs.colour",
        "global.profiles.gpu.engineArgs.colour",
        "global.models.a.engineArgs.colour",
    ]


@pytest.mark.parametrize(
    ("tag", "known"),
    [(f"v{VERSION}", 2), (VERSION, 2), (f"v{VERSION}-cu13", 2), (f"v{VERSION}.1", 1), ("v9", 1)],
)
def test_of_another_version_only_our_own_options_are_known(tag: str, known: int) -> None:
    args = {"colour": 1, "port": 9}
    assert len(found({"vllm": {"image": {"tag": tag}, "engineArgs": args}})) == known


def test_the_version_is_that_of_the_profiles_image() -> None:
    own = {"image": {"tag": "v9"}, "engineArgs": {"colour": 1}}
    models = {
        name: {"profile": name, "engineArgs": {"colour": 1}} for name in ("own", "all", "gone")
    }
    profiles = {"own": own, "all": {"image": {"repository": "mine/vllm"}}}
    values = {"vllm": {}, "global": {"profiles": profiles, "models": models}}
    assert [one.partition(" ")[0] for one in found(values)] == [
        "global.models.all.engineArgs.colour",
        "global.models.gone.engineArgs.colour",
    ]


def test_values_of_other_shapes_are_left_to_the_schema() -> None:
    assert found({}) == []
    assert found({"vllm": None, "global": {"models": {"a": None}, "profiles": []}}) == []


def spread(gpus: object, model: dict[str, Any], **shared: Any) -> dict[str, Any]:
    profile = {"resources": {"limits": {"nvidia.com/gpu": gpus} if gpus else {}}, **shared}
    models = {"m": {"enabled": True, "profile": "p", "engineArgs": model}}
    every = {"engineArgs": {"tensor-parallel-size": 1}}
    return {"vllm": every, "global": {"profiles": {"p": profile}, "models": models}}


TENSOR, PIPELINE = "tensor-parallel-size", "pipeline-parallel-size"


@pytest.mark.parametrize(
    "values",
    [
        spread(1, {}),
        spread("2", {TENSOR: 2.0}),
        spread(4, {PIPELINE: 2}, engineArgs={TENSOR: 2}),
        spread(2, {TENSOR: 1, "data-parallel-size": 2}),
        spread(None, {TENSOR: 2}),
    ],
)
def test_as_many_gpus_as_the_profile_has(values: dict[str, Any]) -> None:
    assert found(values) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (spread(1, {TENSOR: 2}), "over 2 (tensor-parallel-size 2), and its profile p has"),
        (spread(2, {}), "over 1 (tensor-parallel-size 1), and its profile p has nvidia.com/gpu: 2"),
        (
            spread(2, {PIPELINE: 2}, engineArgs={TENSOR: 2}),
            "over 4 (tensor-parallel-size 2 x pipeline-parallel-size 2)",
        ),
    ],
)
def test_other_numbers_of_gpus_are_refused(values: dict[str, Any], told: str) -> None:
    (finding,) = found(values)
    assert finding.startswith("global.models.m spreads ") and told in finding
