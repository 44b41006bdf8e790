"""The store in a directory keeps the contract of all stores."""

from pathlib import Path

import pytest

from tests.store_contract import Overwrite, Place, StoreContract


class TestFilesystem(StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place((tmp_path / "a store").as_uri())

    @pytest.fixture
    def overwrite(self, tmp_path: Path) -> Overwrite:
        def write(key: str, data: bytes) -> None:
            path = tmp_path / "a store" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

        return write
