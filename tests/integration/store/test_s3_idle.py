"""Connections that nobody uses for a while, as the kernel sees them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.services import Minio
from tests.store_contract import Place
from waybill.store.s3 import S3Backend

ESTABLISHED, KEEPALIVE = "01", "02"


def timers(port: int) -> Iterator[tuple[str, tuple[str, float]]]:
    """Each connection of ours to that port, kind and seconds of its next timer (proc_net_tcp)."""
    inodes = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, _, timer, _, _, _, inode, *_ = line.split()
        if inode in inodes and state == ESTABLISHED and int(remote[-4:], 16) == port:
            kind, when = timer.split(":")
            yield inode, (kind, int(when, 16) / os.sysconf("SC_CLK_TCK"))


def test_one_whose_server_is_gone_without_a_word_is_found_out_before_it_is_used_again(
    minio: Minio, place: Place
) -> None:
    """Else who uses it waits until its read times out."""
    bucket = place.url.removeprefix("s3://").partition("/")[0]
    store, port = S3Backend(bucket, endpoint=minio.endpoint), urlsplit(minio.endpoint).port
    assert port
    others = dict(timers(port))
    assert store.read("nothing") is None
    ((kind, seconds),) = (timer for one, timer in timers(port) if one not in others)
    assert (kind, seconds <= 10) == (KEEPALIVE, True)
