"""What servers of tests are given."""

import socket
from itertools import cycle

import pytest

from tests import services


def test_where_every_port_is_taken_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(services, "_PORTS", cycle([taken.getsockname()[1]]))
        with pytest.raises(services.NotReady, match="is taken"):
            services.free_port()
