"""A second process at the same store: python -m tests.store_worker ACTION URL ENDPOINT ...

put SEED SIZE [PAUSE_AT]   writes noise(SIZE, SEED); at the offset PAUSE_AT says so and waits
lock                       holds the lock of a directory store and waits
move REF COMMIT BY         moves a ref of owner/model by compare-and-swap
"""

import sys
import threading

from tests.store_contents import Bytes, blob_of, noise
from waybill.errors import WaybillError
from waybill.store.connect import Access, connect
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref, RepoId


def pause() -> None:
    print("paused", flush=True)
    threading.Event().wait()


class Pausing(Bytes):
    pause_at: int | None = None

    def taken(self, at: int, size: int) -> bytes:
        if self.pause_at is not None and size and at >= self.pause_at:
            pause()
        return super().taken(at, size)


def main(action: str, url: str, endpoint: str, *arguments: str) -> None:
    store = connect(url, Access(endpoint=endpoint or None))
    if action == "put":
        seed, size, *at = map(int, arguments)
        data = noise(size, seed)
        content = Pausing(data)
        content.pause_at = at[0] if at else None
        store.upload(blob_of(data), content)
    elif action == "lock":
        assert isinstance(store.backend, FilesystemBackend)
        with store.backend._locked():
            pause()
    else:
        name, commit, by = arguments
        repo, ref = RepoId("owner", "model"), Ref("heads", name)
        store.move(repo, ref, commit, expected=None, by=by, why="race")
        print("won")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except WaybillError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_code)
