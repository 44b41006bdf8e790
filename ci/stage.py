"""What ci/demo stands on: numbered steps with their time, commands as typed, servers."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

# All that a command inherits: what else a person has set (tokens, proxies, endpoints of other
# tools) must not change what is shown.
INHERITED = re.compile(r"HOME|LANG|LC_.*|LOGNAME|TERM|TMPDIR|TZ|USER|COLUMNS")


class Failed(Exception):
    """A sentence, the end of a log where there is one, and what to do next."""

    def __init__(self, sentence: str, *, hint: str, log: Path | None = None) -> None:
        super().__init__(sentence)
        self.hint, self.log = hint, log


def environment() -> dict[str, str]:
    """For every command: the project's own programs first in PATH, loopback by no proxy."""
    kept = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    loopback = "127.0.0.1,localhost"
    settings = {"NO_PROXY": loopback, "no_proxy": loopback, "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    return {**kept, **settings, "PATH": path}


def free_port(wanted: int = 0) -> int:
    """`wanted` where it is free, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Failed("no loopback port is free", hint="end some programs and run ci/demo again")


@dataclass
class Stage:
    """Where everything happens: the folder, the environment of commands, and what was done."""

    folder: Path
    env: dict[str, str]
    steps: int
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    _servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """A numbered step. What the block puts into the list becomes its row of the table."""
        say(f"\n[{len(self.rows) + 1}/{self.steps}] {title}")
        begin, told = time.monotonic(), list[str]()
        yield told
        self.rows.append((title, ", ".join(told), f"{time.monotonic() - begin:.1f} s"))

    def run(self, *command: str, env: Mapping[str, str] | None = None, quiet: bool = False) -> str:
        """Run a command in the folder, show it and what it says; return what it said.

        On a terminal its bars and notes go there directly.
        """
        if not quiet:
            say(f"  $ {typed(command, env)}")
        direct = quiet or sys.stderr.isatty()
        # In a session of its own, so that Ctrl-C reaches us alone and each command gets one signal.
        process = subprocess.Popen(
            [*until_we_die(), *command],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if direct else subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = []
        try:
            for line in process.stdout or ():
                said.append(line)
                if not quiet:
                    say(f"    {line.rstrip()}".rstrip())
            code = process.wait()
        except KeyboardInterrupt:
            end(process, seconds=10)
            raise
        if code:
            hint = "the lines above say why; when that is mended, run ci/demo again: it goes on"
            raise Failed(f"`{typed(command[:2])}` failed with exit code {code}", hint=hint)
        return "".join(said)

    @contextmanager
    def server(
        self,
        name: str,
        command: list[str],
        health: str,
        *,
        seconds: float,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Path]:
        """A server, from its first healthy answer to the end of the block; yields its log.

        After an error it is stopped with all others, at the end of the stage.
        """
        log = self.folder / "logs" / f"{name.lower()}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as sink:
            self._servers[name] = subprocess.Popen(
                [*until_we_die(), *command],
                cwd=self.folder,
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until_healthy(name, self._servers[name], log, health, seconds)
        yield log
        self.stop(name)

    def stop(self, name: str, seconds: float = 20) -> None:
        process = self._servers.pop(name)
        end(process, seconds)
        # An engine has workers of its own, which may outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def __enter__(self) -> "Stage":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops what still runs; an impatient second Ctrl-C must not keep it from that."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self._servers.values():
            process.terminate()
        for name in list(self._servers):
            self.stop(name, seconds=8)


def say(text: str) -> None:
    print(text, flush=True)


def typed(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """The line that a person would type."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    return " ".join([*settings, shlex.join(command)])


def until_we_die() -> list[str]:
    """A prefix that ends a program together with us, even when we are killed."""
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str], seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_healthy(
    name: str, process: subprocess.Popen[bytes], log: Path, health: str, seconds: float
) -> None:
    begin = time.monotonic()
    on_terminal = sys.stdout.isatty()
    # Never through a proxy that the environment may name: these are loopback addresses.
    with httpx.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None and (passed := time.monotonic() - begin) < seconds:
            with suppress(httpx.TransportError):
                if client.get(health).status_code == httpx.codes.OK:
                    if on_terminal:
                        print("\r\033[K", end="", flush=True)
                    return
            if on_terminal:
                print(f"\r  waiting for {name}: {passed:.0f} s ", end="", flush=True)
            time.sleep(0.2)
    said = "ended" if process.poll() is not None else f"was not ready after {seconds:.0f} s"
    hint = f"its whole log is {log}; when the reason is mended, run ci/demo again: it goes on"
    raise Failed(f"{name} {said}", hint=hint, log=log)


def interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
