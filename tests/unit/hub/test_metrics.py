"""What is counted, and that no request can make new labels."""

from tests.unit.hub.conftest import Serve, Watched
from tests.unit.hub.models import FILES, REPO
from waybill.errors import StoreUnreachable
from waybill.manifest import Manifest


def test_requests_bytes_and_failures(serve: Serve, backend: Watched, tiny: Manifest) -> None:  # noqa: ARG001
    hub = serve()
    quiet = hub.get("/metrics").text
    assert 'waybill_hub_store_errors_total{error="StoreUnreachable"} 0.0\n' in quiet
    assert 'waybill_hub_untrusted_total{error="Unsigned"} 0.0\n' in quiet
    config = f"/{REPO}/resolve/main/config.json"
    hub.get(config)
    hub.get(config, headers={"Range": "bytes=0-3"})
    hub.head(config)
    hub.get("/no/such/thing/here/ever")
    backend.failure = StoreUnreachable(url="s3://b", why="lost")
    hub.get(f"/api/models/{REPO}/refs")
    answer = hub.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        'requests_total{route="resolve",status="200"} 2.0',
        'requests_total{route="resolve",status="206"} 1.0',
        'requests_total{route="none",status="404"} 1.0',
        'requests_total{route="refs",status="503"} 1.0',
        'request_duration_seconds_count{route="resolve"} 3.0',
        f"bytes_total {float(len(FILES['config.json']) + 4)}",
        'store_errors_total{error="StoreUnreachable"} 1.0',
    ):
        assert f"waybill_hub_{line}\n" in answer.text
    assert "_created" not in answer.text


def test_two_hubs_count_apart(serve: Serve) -> None:
    first, second = serve(), serve()
    first.get("/healthz")
    assert 'route="alive"' in first.get("/metrics").text
    assert 'route="alive"' not in second.get("/metrics").text
