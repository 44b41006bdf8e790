"""Which cluster is meant, and what is read of it. The answers are a real one's in tests/e2e."""

from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from waybill.deliver import cluster
from waybill.deliver.cluster import Cluster
from waybill.deliver.rollout import Object
from waybill.errors import ClusterUnreachable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def test_a_pods_own_cluster_is_meant_where_helm_means_it_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "current context" in Cluster("ns").where
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert "that this pod runs in" in Cluster("ns").where
    assert "the context dev" in Cluster("ns", "dev").where
    monkeypatch.setenv("KUBECONFIG", "kubeconfig")
    assert "current context" in Cluster("ns").where
    monkeypatch.delenv("KUBECONFIG")
    (home / ".kube").mkdir()
    (home / ".kube/config").write_text("{}")
    assert "current context" in Cluster("ns").where


@pytest.mark.parametrize(
    "text", ["a: [", "[]", "words", "current-context: x\ncontexts: 5", "", "{}"]
)
def test_a_malformed_kubeconfig_is_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (home / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(home / "config"))
    with pytest.raises(ClusterUnreachable, match=r"(?i)kube-?config"):
        Cluster("ns").version()


def test_events_are_in_the_order_of_their_time_whoever_reports_them() -> None:
    counted: Object = {"lastTimestamp": "2026-01-01T00:00:02Z", "metadata": {}}
    scheduler: Object = {"lastTimestamp": None, "eventTime": "2026-01-01T00:00:01.5Z"}
    bare: Object = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
    soon: Object = {"lastTimestamp": "2026-01-01T00:00:01Z"}
    said = [counted, scheduler, soon, bare]
    assert sorted(said, key=cluster._time) == [bare, scheduler, soon, counted]


def test_what_a_forwarded_port_is_refused_for_is_in_its_reason() -> None:
    gone = ApiException(status=0, reason="Handshake status 404 Not Found -+-+- {}")
    assert cluster._status(gone) == 404
    assert cluster._status(ApiException(status=403, reason="Forbidden")) == 403
    assert cluster._status(ApiException(status=0, reason="[Errno 111] refused")) == 0
