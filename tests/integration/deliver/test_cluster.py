"""Clusters that are not there, as the real client meets them; a real one is met in tests/e2e."""

from pathlib import Path

import pytest
import yaml

from tests.services import free_port
from waybill.deliver.cluster import Cluster
from waybill.errors import ClusterUnreachable


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One context, `away`, whose server nobody runs."""
    server = f"https://127.0.0.1:{free_port()}"
    about = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "away", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "away", "context": {"cluster": "away", "user": "me"}}],
        "current-context": "away",
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(about))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.mark.parametrize("context", ["away", None])
@pytest.mark.usefixtures("kubeconfig")
def test_a_server_that_does_not_answer_is_said(context: str | None) -> None:
    cluster = Cluster("waybill", context)
    which = "the context away" if context else "the current context"
    with pytest.raises(ClusterUnreachable, match=f"the cluster of {which} cannot be reached"):
        cluster.secret_keys("any")
    with pytest.raises(ClusterUnreachable, match="refused"):
        cluster.create_secret("any", {}, {}, {})


@pytest.mark.usefixtures("kubeconfig")
def test_a_context_that_is_not_there_is_said() -> None:
    with pytest.raises(ClusterUnreachable, match="elsewhere"):
        Cluster("waybill", "elsewhere").secret_keys("any")


def test_no_kubeconfig_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(ClusterUnreachable):
        Cluster("waybill").secret_keys("any")


def test_a_pod_without_a_token_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ClusterUnreachable, match="that this pod runs in cannot be reached"):
        Cluster("waybill").secret_keys("any")
