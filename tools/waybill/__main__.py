"""The process `waybill`: whatever happens while it starts or ends, it ends with an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

INTERRUPTED = 130


def run() -> NoReturn:
    """Run the command line, and end without waiting for threads that a server keeps waiting.

    All that must not be lost is on disk by then, or is gone on with by the next run.
    """
    code = INTERRUPTED
    try:
        from waybill.cli.main import main

        code = main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        print("error: interrupted\nhint: run the same command again", file=sys.stderr)
    except Exception:
        # A bug: its traceback is what we need to mend it.
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
