"""The frame of all commands: words, JSON, exit codes, stopping."""

import argparse
import getpass
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Waybill
from waybill import __version__
from waybill.cli import arguments
from waybill.cli import main as cli
from waybill.cli.output import Console, human, table


def test_a_result_goes_to_stdout_and_notes_to_stderr(
    waybill: Waybill, model: Path, tmp_path: Path
) -> None:
    ran = waybill(
        "pack", model, "--as", "Acme/Demo", "--out", tmp_path / "out", "--part-size", 12288
    )
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert ran.out.startswith("Acme/Demo at ")
    assert ran.err == ("dropped pytorch_model.bin: safetensors of the same weights are in ./\n")


def test_quiet_leaves_the_notes_out(waybill: Waybill, model: Path) -> None:
    ran = waybill("pack", model, "--as", "Acme/Demo", "--dry-run", "--quiet")
    assert (ran.code, ran.err) == (0, "")


def test_json_is_one_object_on_stdout(waybill: Waybill, store: Path) -> None:
    ran = waybill("store", "init", store, "--json")
    assert json.loads(ran.out) == {
        "schemaVersion": 1,
        "command": "store",
        "action": "init",
        "result": {"url": store.as_uri(), "format": 1, **_facts(store)},
    }


def _facts(store: Path) -> dict[str, object]:
    facts: dict[str, object] = json.loads((store / "store.json").read_bytes())
    return facts


def test_an_error_is_a_sentence_a_hint_and_an_exit_code(waybill: Waybill, tmp_path: Path) -> None:
    ran = waybill("inspect", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"error: {tmp_path} is not a bundle: no bundle.json is there\n"
        "hint: give the directory, or all directories, with bundle.json and the parts; a "
        "model's own directory becomes --as OWNER/NAME\n"
    )


def test_an_error_is_json_too(waybill: Waybill, tmp_path: Path) -> None:
    ran = waybill("inspect", tmp_path, "--json")
    assert json.loads(ran.out)["error"] == {
        "code": "NotABundle",
        "message": f"{tmp_path} is not a bundle: no bundle.json is there",
        "hint": "give the directory, or all directories, with bundle.json and the parts; a "
        "model's own directory becomes --as OWNER/NAME",
    }
    assert ran.err.startswith("error: ")


def test_ctrl_c_and_sigterm_say_that_a_rerun_goes_on(
    waybill: Waybill, bundle: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

        def stop(*_: object, number: int = number) -> None:
            os.kill(os.getpid(), number)

        monkeypatch.setattr("waybill.bundle.sideload.Loading.run", stop)
        ran = waybill("sideload", bundle, "--to", store)
        for one, handler in handlers.items():
            signal.signal(one, handler)
        assert (ran.code, ran.out) == (130, "")
        assert ran.err == (
            "error: interrupted\nhint: run the same command again: it goes on where it stopped\n"
        )


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    program = "import sys; from waybill.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", program, "store", "init", str(tmp_path), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["pack", "--part-size"], ["sideload", "x"], ["verify", "-x"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], waybill: Waybill) -> None:
    with pytest.raises(SystemExit) as caught:
        waybill(*arguments)
    assert caught.value.code == 2


def test_a_rate_at_which_servers_hang_up_is_refused(
    waybill: Waybill, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        waybill("sideload", "x", "--to", "y", "--limit-rate", "99kB")
    assert "little a second: 100kB is the least" in capsys.readouterr().err


@pytest.mark.parametrize("module", cli.MODULES)
def test_a_command_needs_its_own_module_alone(module: str) -> None:
    """Else a command would be missing, or all would be as slow as all together."""
    names = cli.MODULES[module]
    for name in names:
        (commands,) = _commands(name)
        assert tuple(commands.choices) == names


def _commands(name: str | None = None) -> list["argparse._SubParsersAction[Any]"]:
    actions = cli.parser(name)._actions
    return [action for action in actions if isinstance(action, argparse._SubParsersAction)]


def test_every_command_explains_itself(
    waybill: Waybill, capsys: pytest.CaptureFixture[str]
) -> None:
    (commands,) = _commands()
    for name, command in commands.choices.items():
        with pytest.raises(SystemExit) as caught:
            waybill(name, "--help")
        assert caught.value.code == 0
        told = capsys.readouterr().out
        assert told.startswith(f"usage: waybill {name}")
        undocumented = [action.dest for action in command._actions if not action.help]
        assert undocumented in ([], ["action"]), "a command of commands has its own help for each"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"waybill {__version__}\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4_000_000_000),
        ("650MB", 650_000_000),
        ("1.5k", 1500),
        ("4GiB", 4 << 30),
        ("2 TiB", 2 << 40),
        ("512", 512),
        (" 7B ", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert arguments.size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "4 XB", "-1", "1e9", "4gb", "4G B", "0x10", "4iB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size such as 4GB"):
        arguments.size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (90_868_376, "90.9 MB"),
        (999_960, "1.0 MB"),
        (4_000_000_000, "4.0 GB"),
        (16 * 10**12, "16.0 TB"),
    ],
)
def test_sizes_are_told_as_on_the_medium_s_label(size: int, text: str) -> None:
    assert human(size) == text


def test_a_table_has_columns_as_wide_as_their_widest_cell() -> None:
    assert table(["a", "bb"], [["long", "x"], ["y", ""]]) == "a     bb\nlong  x\ny"


def test_a_bar_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(as_json=False, quiet=False).progress("pack", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_a_note_stands_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console(as_json=False, quiet=False)
    with console.progress("pack", 10) as advance:
        advance(4)
        console.note("insert the next medium")
    console.note("done")
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "insert the next medium" in lines and lines[-1] == "done"
    assert any(line.startswith("pack:  40%") for line in lines)


@pytest.mark.parametrize(("quiet", "told"), [(False, "it waits\n"), (True, "")])
def test_what_a_store_says_while_it_waits_is_a_note(
    quiet: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        Console(as_json=True, quiet=quiet)
    logging.getLogger("waybill.store").warning("%s", "it waits")
    assert capsys.readouterr().err == told


def test_who_decides_is_asked_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_BY", "release bot")
    assert arguments.whoami() == "release bot"
    monkeypatch.delenv("WAYBILL_BY")
    monkeypatch.setattr(getpass, "getuser", _nobody)
    assert arguments.whoami() == f"uid {os.getuid()}"


def _nobody() -> str:
    raise KeyError("no such user")
