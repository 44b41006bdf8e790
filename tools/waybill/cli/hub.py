"""`waybill hub`: serve a store to Hugging Face clients until told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import threading
from dataclasses import replace
from importlib.util import find_spec

from waybill.cli.arguments import Commands, open_store, trust_path
from waybill.cli.output import Console, Report
from waybill.errors import BadValue, WaybillError
from waybill.hub.settings import AUTH, DELIVERIES, Settings
from waybill.store import layout
from waybill.store.store import Store

GRACE = 25
"""Seconds that running downloads get after SIGTERM: less than the 30 that a pod is given."""
LAST = 1
"""Seconds more for what was cancelled: a reading from a store that hangs cannot be."""
NEEDED = ("jwt", "prometheus_client", "starlette", "uvicorn")
KEEP_ALIVE = 75
"""Seconds an idle connection stays open: longer than clients and proxies reuse one."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "hub",
        help="serve a store to Hugging Face clients (HF_ENDPOINT)",
        description="Serve a store to Hugging Face clients. Each option can also be given as an "
        "environment variable, for instance WAYBILL_HUB_STORE; the option wins.",
    )
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="s3://bucket/prefix, file:///path, or the name of an environment",
    )
    parser.add_argument("--endpoint", help="URL of the S3 server, unless it is AWS")
    parser.add_argument("--profile", help="credentials profile in the AWS shared files")
    parser.add_argument("--ca-bundle", help="PEM file of the CA that signed the server's key")
    parser.add_argument("--public-endpoint", help="URL of the S3 server as clients reach it")
    parser.add_argument(
        "--delivery",
        choices=DELIVERIES,
        help="redirect: clients fetch files from the S3 server (default); proxy: from the hub",
    )
    parser.add_argument(
        "--presign-seconds", type=int, help="how long a redirect stays valid (default: 43200)"
    )
    parser.add_argument(
        "--auth",
        choices=AUTH,
        help="required: answer only who has a token of a trusted issuer (default: off)",
    )
    parser.add_argument("--issuers-file", help="JSON file of the trusted issuers")
    parser.add_argument(
        "--kubernetes-audience",
        help="trust tokens of this cluster's service accounts for this audience",
    )
    parser.add_argument(
        "--trust",
        help="trust policy: whose signatures a revision needs to be served (default: the "
        "environment's, where the store is named by one)",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for a free one (default: 8080)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> Report:
    """Serves until SIGTERM or Ctrl-C; running downloads get 25 s to finish."""
    settings = Settings.read(os.environ, vars(args))
    if not settings.store:
        why = "name it with --store or WAYBILL_HUB_STORE"
        raise BadValue(what="store", value="", why=why)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        why = f"{' and '.join(missing)} not installed; install waybill[hub]"
        raise BadValue(what="command", value="hub", why=why)
    place = _place(args, settings)
    store = open_store(place, public_endpoint=settings.public_endpoint)
    if trusting := trust_path(place):
        settings = replace(settings, trust=str(trusting))
    with _listen(settings) as listener:
        host, port = listener.getsockname()[:2]
        if store.backend.local_path(layout.STORE) is not None:
            # A server may come later; a directory that is not there is most likely a slip.
            _warn(store, console)
        console.note(f"serving {store.url} at http://{host}:{port} (Ctrl-C stops)")
        _serve(store, settings, listener)
    return Report("")


def _warn(store: Store, console: Console) -> None:
    try:
        _ = store.facts
    except WaybillError as error:
        console.note(f"warning: {error}; requests get 503 until it is")


def _place(args: argparse.Namespace, settings: Settings) -> argparse.Namespace:
    """The store's arguments, as `open_store` reads them."""
    reach = {
        "store": settings.store,
        "endpoint": settings.endpoint,
        "profile": settings.profile,
        "ca_bundle": settings.ca_bundle,
        "single_writer": False,
        "trust": settings.trust,
    }
    return argparse.Namespace(**{**vars(args), **reach})


def _listen(settings: Settings) -> socket.socket:
    address = (settings.host, settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=2048)
    except (OSError, TypeError) as error:
        # TypeError: Python cannot encode the name. create_server appends the address to the rest.
        value = f"{settings.host}:{settings.port}"
        said = (isinstance(error, OSError) and error.strerror) or str(error)
        why = said.partition(" (while attempting")[0]
        raise BadValue(what="address", value=value, why=why) from error


def _serve(store: Store, settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from waybill.hub.app import create_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(store, settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    last = threading.Timer(LAST, _end)
    last.daemon = True

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            last.start()

    try:
        Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        # The server has stopped in order, and raises the signal that told it to once more.
        logging.getLogger("waybill.hub").info("stopped")
    finally:
        last.cancel()


def _end() -> None:
    logging.getLogger("waybill.hub").warning("stopped while the store still owed an answer")
    logging.shutdown()
    os._exit(0)
