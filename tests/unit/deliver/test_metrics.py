"""Counters of pods between two looks. The pages of real servers are read in tests/integration."""

import pytest

from waybill.deliver import metrics
from waybill.deliver.metrics import Seen, between, of_engine, of_gateway, quantile

PAGE = """
# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="chat/stable"} 90
envoy_cluster_upstream_rq_xx{envoy_response_code_class="4",envoy_cluster_name="chat/stable"} 3
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="chat/stable"} 7
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="chat/previous"} 50
# TYPE envoy_cluster_upstream_rq_retry_success counter
envoy_cluster_upstream_rq_retry_success{envoy_cluster_name="chat/stable"} 2
"""
TOKENS = """
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="chat"} 10
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="chat"} 20
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="chat"} 20
vllm:time_to_first_token_seconds_bucket{engine="1",le="0.1",model_name="chat"} 5
vllm:time_to_first_token_seconds_bucket{engine="1",le="1.0",model_name="chat"} 5
vllm:time_to_first_token_seconds_bucket{engine="1",le="+Inf",model_name="chat"} 5
vllm:time_to_first_token_seconds_count{engine="0",model_name="chat"} 20
"""


def test_answers_and_errors_are_those_of_one_slot() -> None:
    found = of_gateway("g", PAGE, "chat/stable")
    assert found == {("g", "requests"): 100, ("g", "errors"): 9}


def test_the_engines_of_one_pod_are_added_up() -> None:
    assert of_engine("e", TOKENS) == {("e", "0.1"): 15, ("e", "1.0"): 25, ("e", "+Inf"): 25}


def test_what_happened_is_what_has_grown() -> None:
    before = {("g", "requests"): 100.0, ("g", "errors"): 9.0, ("e", "0.1"): 5.0, ("e", "+Inf"): 5.0}
    after = {("g", "requests"): 140.0, ("g", "errors"): 10.0, ("e", "0.1"): 5.0, ("e", "+Inf"): 5.0}
    assert between(before, after) == Seen(40, 1)


def test_a_pod_that_is_new_or_began_anew_has_counted_from_nothing() -> None:
    before = {("old", "requests"): 100.0, ("gone", "requests"): 50.0}
    after = {("old", "requests"): 10.0, ("new", "requests"): 7.0}
    assert between(before, after).requests == 17


def test_what_could_not_be_asked_at_first_does_not_seem_to_have_happened_since() -> None:
    before = {("old", "requests"): 100.0, **metrics.unknown(["late"])}
    after = {("old", "requests"): 101.0, ("late", "requests"): 5000.0, **metrics.unknown(["x"])}
    assert between(before, after) == Seen(1)


def test_times_are_those_of_the_window_alone() -> None:
    before = {("e", "1.0"): 100.0, ("e", "2.0"): 100.0, ("e", "+Inf"): 100.0}
    after = {("e", "1.0"): 100.0, ("e", "2.0"): 110.0, ("e", "+Inf"): 110.0}
    assert between(before, after).ttft == pytest.approx({"p50": 1.5, "p95": 1.95})


def test_past_the_last_bucket_there_is_no_more_to_know() -> None:
    assert quantile({1.0: 0, float("inf"): 10}, 0.5) == 1.0
    assert quantile({}, 0.5) == 0.0


def test_other_series_are_passed_over() -> None:
    found = {name for name, _, _ in metrics.samples(TOKENS)}
    assert len(found) == 2
    assert of_engine("e", PAGE) == {}
