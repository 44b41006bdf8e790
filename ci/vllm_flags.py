"""Asks vLLM's own parser which options `vllm serve` has, and prints them as JSON.

Usage: "$(ci/tools vllm)" ci/vllm_flags.py > tools/waybill/deliver/vllm_flags.json
The linter of engineArgs reads that file; a test compares it with what is printed here.
"""

import argparse
import json
import os
import sys

SHAPES = {
    argparse.BooleanOptionalAction: "boolean",
    argparse._StoreTrueAction: "switch",
    argparse._AppendAction: "repeated",
}
NUMBERS: dict[object, str] = {int: "integer", float: "number"}


def shape(action: argparse.Action) -> str:
    """How the option is given: see `Flag` in engine_arguments.py."""
    if type(action) in SHAPES:
        return SHAPES[type(action)]
    if action.nargs in ("+", "*"):
        return "list"
    return NUMBERS.get(action.type, "value")


def described(action: argparse.Action) -> dict[str, object]:
    flag: dict[str, object] = {"shape": shape(action)}
    if action.choices:
        flag["choices"] = sorted(str(one) for one in action.choices if one is not None)
    return flag


def flags(parser: argparse.ArgumentParser) -> dict[str, dict[str, object]]:
    found = {}
    for action in parser._actions:
        for name in action.option_strings:
            if name.startswith("--") and not name.startswith("--no-") and name != "--help":
                found[name.removeprefix("--")] = described(action)
    return dict(sorted(found.items()))


def main() -> None:
    # vLLM prints to stdout while it is imported.
    out = os.dup(1)
    os.dup2(2, 1)
    import vllm  # type: ignore[import-not-found]
    from vllm.entrypoints.cli.serve import cmd_init  # type: ignore[import-not-found]
    from vllm.utils.argparse_utils import (  # type: ignore[import-not-found]
        FlexibleArgumentParser,
    )

    parser = cmd_init()[0].subparser_init(FlexibleArgumentParser().add_subparsers())
    version = vllm.__version__.partition("+")[0]
    text = json.dumps({"version": version, "flags": flags(parser)}, indent=1)
    with os.fdopen(out, "w") as stream:
        stream.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
