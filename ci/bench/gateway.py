"""What the gateway adds to a request: the chart's Envoy beside a bare one and no proxy at all.

Usage: python ci/bench/gateway.py [--requests N] [--clients N]

All three lead to the same small server, in the same run, in turns. The chart's checks a signed
token, counts the tenant's requests, parses the body and the answer, and writes its log.
WAYBILL_TEST_ENVOY and WAYBILL_TEST_HELM4 name the programs (`ci/tools envoy helm4`).
"""

import argparse
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.gateway.conftest import CHAT, THREE, pin, values
from tests.integration.gateway.peers import USAGE, issuer
from tests.integration.gateway.process import gateway
from tests.services import free_port, needs, running
from waybill.cli.output import table

HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
ANSWER = json.dumps({"choices": [{"message": {"content": "word " * 200}}], "usage": USAGE})
QUESTION = {"model": "cheap", "messages": [{"role": "user", "content": "word " * 400}]}
ROUNDS = 5


def listener(port: int, route: Mapping[str, Any]) -> dict[str, Any]:
    """A listener that sends everything along one route; one that answers reads the body first."""
    whole = {"@type": f"{FILTERS}.buffer.v3.Buffer", "max_request_bytes": 1_000_000}
    last = {"name": "router", "typed_config": {"@type": f"{FILTERS}.router.v3.Router"}}
    answers = "direct_response" in route
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
    manager = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [*([{"name": "whole", "typed_config": whole}] if answers else []), last],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    filters = [{"name": "http", "typed_config": manager}]
    return {"address": address, "filter_chains": [{"filters": filters}]}


@contextmanager
def envoy(route: Mapping[str, Any], folder: Path, *clusters: Mapping[str, Any]) -> Iterator[int]:
    port = free_port()
    config = {"static_resources": {"listeners": [listener(port, route)], "clusters": clusters}}
    folder.mkdir()
    (folder / "envoy.json").write_text(json.dumps(config))
    command = [needs("WAYBILL_TEST_ENVOY"), "--config-path", str(folder / "envoy.json")]
    command += ["--concurrency", "2", "--disable-hot-restart", "--log-level", "error"]
    with running(command, {}, folder / "log", f"http://127.0.0.1:{port}/", 30):
        yield port


def engine(folder: Path) -> Any:
    """Envoy itself answers for an engine: nothing is faster to stand behind it."""
    json_type = {"header": {"key": "content-type", "value": "application/json"}}
    route = {
        "direct_response": {"status": 200, "body": {"inline_string": ANSWER}},
        "response_headers_to_add": [json_type | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    return envoy(route, folder)


def bare(folder: Path, port: int) -> Any:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    load = {"cluster_name": "engine", "endpoints": endpoints}
    cluster = {"name": "engine", "type": "STATIC", "load_assignment": load}
    return envoy({"route": {"cluster": "engine"}}, folder, cluster)


def timed(port: int, request: bytes, number: int) -> list[float]:
    """Seconds of each of so many requests over one connection."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(number):
            began = time.perf_counter()
            connection.sendall(request)
            answer = b""
            while not answer.endswith(ANSWER.encode()):
                answer += connection.recv(65536)
            found.append(time.perf_counter() - began)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not answered: {answer[:300]!r}")
    return found


def measure(ports: Mapping[str, int], request: bytes, number: int, clients: int) -> list[list[str]]:
    """Rows of the table; the servers take turns, so that a busy machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in ports}
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(ROUNDS):
            for name, port in ports.items():
                share = number // ROUNDS // clients
                jobs = [pool.submit(timed, port, request, share) for _ in range(clients)]
                times[name] += [one for job in jobs for one in job.result()]
    cuts = {name: statistics.quantiles(found, n=100) for name, found in times.items()}
    rows = []
    for name, cut in cuts.items():
        cells = [f"{cut[at] * 1000:.2f} ms" for at in (49, 98)]
        ratios = [f"{cut[49] / cuts[other][49]:.2f}" for other in ("direct", "bare Envoy")]
        rows.append([f"{name}, {clients} at once", *cells, *ratios])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000, help="of each server (default 5000)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default 16)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        issuer("login") as signer,
        engine(Path(name) / "engine") as engine_port,
        bare(Path(name) / "bare", engine_port) as bare_port,
    ):
        given = values([signer])
        given["global"]["pins"] = {"cheap": pin(stable=(THREE, 100))}
        ours = Path(name) / "gateway"
        ours.mkdir()
        with gateway(given, {"vllm-cheap": engine_port}, ours) as gate:
            ports = {"direct": engine_port, "bare Envoy": bare_port}
            ports["gateway"] = gate.places.ports[8080]
            body = json.dumps(QUESTION).encode()
            head = (
                f"POST {CHAT} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {signer.token()}\r\n"
            )
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            rows = [
                row
                for clients in (1, options.clients)
                for row in measure(ports, head.encode() + body, options.requests, clients)
            ]
    print(table(["", "p50", "p99", "p50 / direct", "p50 / bare Envoy"], rows))


if __name__ == "__main__":
    main()
