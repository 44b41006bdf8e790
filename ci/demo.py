"""The main job on a real model: pack, sideload, serve, load, promote. Started by ci/demo."""

import argparse
import fcntl
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import yaml

from ci.demo_s3 import PLACES, choose
from ci.stage import Failed, Stage, environment, free_port, say, typed
from waybill.cli.output import human, table

REPO = Path(__file__).resolve().parent.parent
MODEL = "minilm"
NAME = "sentence-transformers/all-MiniLM-L6-v2"
SENTENCES = (
    "The parcel crossed the border this morning.",
    "The shipment went through customs early today.",
    "She has played the violin since she was a child.",
)
MARGIN = 0.3
"""How much more alike the first two sentences must be than the first and the last."""
BUG = "this is a bug in Waybill: please report it with the lines above"


def main() -> int:
    args = arguments()
    folder = Path(os.environ["WAYBILL_DEMO_DIR"]) / args.store
    stage = Stage(folder, environment(), steps=9 if args.no_engine else 10)
    try:
        with alone(folder), stage, ExitStack() as servers:
            Demo(stage, servers, args.store, engine=not args.no_engine).play()
    except KeyboardInterrupt:
        print("\ninterrupted; run ci/demo again, it goes on", file=sys.stderr)
        return 130
    except Failed as failure:
        if failure.log:
            lines = failure.log.read_text(errors="replace").splitlines()[-20:]
            print("", *lines, sep="\n  | ", file=sys.stderr)
        print(f"\nerror: {failure}\nhint: {failure.hint}", file=sys.stderr)
        return 1
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci/demo",
        description="Shows the main job on a real model, in a folder outside the clone: "
        "WAYBILL_DEMO_DIR, else demo/ in the cache. WAYBILL_DEMO_S3 is the URL of an S3 server "
        "to use instead of an own MinIO; its credentials come from the AWS environment or files.",
    )
    parser.add_argument("--store", choices=("directory", "s3"), default="directory")
    parser.add_argument("--no-engine", action="store_true", help="leave vLLM (6 GB) out")
    return parser.parse_args()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The folder, made; never inside the clone, never two demos in it at once."""
    if folder.is_relative_to(REPO):
        hint = "set WAYBILL_DEMO_DIR to a folder outside it"
        raise Failed(f"{folder} is inside the clone, which the demo leaves alone", hint=hint)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "wait for it, or set WAYBILL_DEMO_DIR to another folder"
            raise Failed(f"another demo is at work in {folder}", hint=hint) from error
        yield


class Demo:
    """The steps, in order; what one learns, the later ones use."""

    commit: str
    files: list[dict[str, Any]]

    def __init__(self, stage: Stage, servers: ExitStack, store: str, *, engine: bool) -> None:
        self.stage, self.servers, self.store, self.engine = stage, servers, store, engine

    def play(self) -> None:
        step = self.stage.step
        say(f"Everything happens in {self.stage.folder}; the clone stays as it is.")
        with step("Set up") as told:
            self.set_up(told)
        with step("Pack the model into a bundle") as told:
            self.pack(told)
        with step("Check it, as its receiver does") as told:
            self.waybill("inspect", "bundle")
            self.waybill("verify", "bundle")
            told.append("every byte read, all good")
        with step("Make three stores") as told:
            self.make_stores(told)
        with step("Sideload the bundle into dev") as told:
            there = "sent 0 of" in self.waybill("sideload", "bundle", "--to", "dev")
            told.append("all files were there" if there else "all files sent and checked")
        with step("Pin the revision in dev") as told:
            self.waybill("pin", "dev", MODEL, f"{NAME}@{self.commit}")
            told.append(self.decided("dev", f"Pin {MODEL} in dev"))
        with step("Download from the model hub") as told:
            self.start_hub()
            self.download(told)
        if self.engine:
            with step("Load it into vLLM and ask") as told:
                self.load(told)
        with step("Promote dev → test → prod") as told:
            for source, target in pairwise(PLACES):
                self.waybill("promote", "--yes", "--from", source, "--to", target)
                told.append(self.decided(target, f"Promote {MODEL} to {target}"))
        with step("See what runs where") as told:
            self.waybill("status")
            told.append(f"{self.commit[:8]} in {', '.join(PLACES)}")
        self.finish()

    def waybill(self, *arguments: str) -> str:
        return self.stage.run("waybill", *arguments)

    def set_up(self, told: list[str]) -> None:
        self.model = Path(tool("model"))
        own_server = self.store == "s3" and not os.environ.get("WAYBILL_DEMO_S3")
        program = tool("minio") if own_server else ""
        if self.engine:
            if not any(cache().glob("vllm-*")):
                say("  The engine is 3 GB to download, 6 GB on disk; --no-engine does without it.")
            self.python = tool("vllm")
        self.place = choose(self.store, self.stage.folder, program)
        self.write_environments()
        say(f"  $ cd {self.stage.folder}")
        told += ["all-MiniLM-L6-v2", self.place.words, *(["vLLM"] if self.engine else [])]

    def write_environments(self) -> None:
        """values/environments.yaml, under git as in real life, so that changes can be seen."""
        folder = self.stage.folder
        (folder / "values").mkdir(exist_ok=True)
        known = {"environments": self.place.environments()}
        (folder / "values/environments.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
        # What a command that was killed had begun to write is none of anybody's decisions.
        (folder / ".gitignore").write_text("/*\n!/.gitignore\n!/values/\n/values/**/.*\n")
        if not (folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch", "main")
        self.git("add", "--all")
        if self.git("diff", "--cached", "--name-only"):
            self.git("commit", "--quiet", "--message", "Name the environments")

    def pack(self, told: list[str]) -> None:
        options = ("--as", NAME, "--part-size", "68MB", "--out", "bundle")
        said = self.waybill("pack", str(self.model), *options)
        facts = json.loads(self.stage.run("waybill", "inspect", "bundle", "--json", quiet=True))
        revision, parts = facts["result"]["revisions"][0], len(facts["result"]["parts"])
        self.commit, self.files = revision["commit"], revision["files"]
        amount = human(sum(file["size"] for file in self.files))
        was = "packed before: " if f"{parts} of them from an earlier run" in said else ""
        told.append(f"{was}{len(self.files)} files, {amount}, in {parts} parts")

    def make_stores(self, told: list[str]) -> None:
        self.servers.enter_context(self.place.ready(self.stage))
        for name in PLACES:
            self.waybill("store", "init", name)
        told += PLACES

    def decided(self, place: str, message: str) -> str:
        """Show by git that a decision is a change of one pins file, and commit it."""
        self.git("add", "--all")
        if not (names := self.git("diff", "--cached", "--name-only").split()):
            say("    no file has changed")
            return f"{place} stood there"
        if names != [f"values/pins/{place}.yaml"]:
            raise Failed(f"another file than the pins of {place} has changed: {names}", hint=BUG)
        say("  $ git add --all; git diff --cached --stat")
        for line in self.git("diff", "--cached", "--stat").splitlines():
            say(f"    {line}")
        self.git("commit", "--quiet", "--message", message)
        return f"only pins/{place}.yaml changed"

    def start_hub(self) -> None:
        """It runs until the end: the client downloads from it, the engine loads from it."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = ["waybill", "hub", "--store", "dev", "--port", str(port)]
        say(f"  $ {typed(command)} &")
        server = self.stage.server("hub", command, f"{url}/readyz", seconds=30)
        self.servers.enter_context(server)
        self.hub = url

    def cached(self, home: str) -> int:
        """How many files a Hugging Face cache holds."""
        return len(list(self.stage.folder.glob(f"{home}/hub/models--*/blobs/*")))

    def download(self, told: list[str]) -> None:
        before = self.cached("huggingface")
        settings = {"HF_ENDPOINT": self.hub, "HF_HOME": "huggingface"}
        command = ("hf", "download", NAME, "--revision", self.commit, "--quiet")
        folder = Path(self.stage.run(*command, env=settings).splitlines()[-1])
        for file in self.files:
            ours, theirs = self.model / file["path"], folder / file["path"]
            if not theirs.is_file() or ours.read_bytes() != theirs.read_bytes():
                raise Failed(f"{theirs} is not what was packed", hint=BUG)
        fetched = self.cached("huggingface") - before
        say(f"    {fetched} files fetched; all {len(self.files)} compared with the source")
        told.append(f"{fetched} files fetched" if fetched else "all files were there")
        told.append("byte for byte the source")

    def load(self, told: list[str]) -> None:
        stage, port = self.stage, free_port()
        # A fresh cache in each run: the engine has to come to the hub for every file.
        shutil.rmtree(stage.folder / "engine", ignore_errors=True)
        settings = {
            "HF_ENDPOINT": self.hub,
            "HF_HOME": "engine",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            # The way to the outside is shut: nobody listens there.
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        command = [
            *(self.python, "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--model", NAME, "--revision", self.commit, "--served-model-name", MODEL),
            *("--enforce-eager", "--max-model-len", "256"),
        ]
        url = f"http://127.0.0.1:{port}"
        say(f"  $ {typed(command, settings)} &\n    (this takes about a minute)")
        env = {**settings, "HOME": str(stage.folder / "engine")}
        with stage.server("vLLM", command, f"{url}/health", seconds=300, env=env):
            if not (fetched := self.cached("engine")):
                raise Failed("vLLM has not loaded from the hub", hint=BUG)
            say(f"    vLLM is ready; it fetched {fetched} files from the hub")
            ask(url)
        told += [f"{fetched} files fetched", "its answers make sense"]

    def finish(self) -> None:
        folder, programs = self.stage.folder, Path(sys.executable).parent
        say("\n" + table(("STEP", "WHAT", "TIME"), self.stage.rows) + "\n")
        if self.store == "directory":
            say(f"Look around:  cd {folder}; PATH={programs}:$PATH; waybill history {MODEL}")
        say(f"Remove it:    rm -r {folder}")

    def git(self, *arguments: str) -> str:
        """Nothing of the user's own settings: hooks and signatures have no place here."""
        settings = ("user.name=demo", "user.email=demo@localhost", "commit.gpgSign=false")
        options = [part for setting in settings for part in ("-c", setting)]
        env = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return self.stage.run("git", *options, *arguments, env=env, quiet=True)


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WAYBILL_CACHE") or Path(home) / "waybill")


def tool(component: str) -> str:
    """Found, or made once, by ci/tools, which says what it fetches."""
    found = subprocess.run([REPO / "ci/tools", component], stdout=subprocess.PIPE, text=True)
    if found.returncode in (130, -2):
        raise KeyboardInterrupt
    if found.returncode:
        hint = "mend what the lines above say, and run ci/demo again"
        raise Failed(f"{component} is not to be had here", hint=hint)
    say(f"  {component}: {found.stdout.strip()}")
    return found.stdout.strip()


def ask(url: str) -> None:
    """The first two sentences mean the same, the last means another thing."""
    say(f"    POST {url}/v1/embeddings: how alike are these sentences?")
    with httpx.Client(trust_env=False, timeout=60) as client:
        body = {"model": MODEL, "input": SENTENCES}
        answer = client.post(f"{url}/v1/embeddings", json=body).raise_for_status().json()
    first, *others = (one["embedding"] for one in answer["data"])
    near, far = (cosine(first, other) for other in others)
    say(f"            {SENTENCES[0]}")
    say(f"      {near:5.2f} {SENTENCES[1]}\n      {far:5.2f} {SENTENCES[2]}")
    if near < far + MARGIN:
        raise Failed(f"these answers make no sense: {near:.2f} and {far:.2f}", hint=BUG)


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    # Not sys.exit: where Ctrl-C came during an exec(), as imports of dataclasses run it, CPython
    # takes the interrupt for unhandled although we handled it, and ends itself by the signal.
    os._exit(ended)
