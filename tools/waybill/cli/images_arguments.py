"""Arguments that several actions of `waybill images` have, and what they name."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from waybill.cli.arguments import project
from waybill.cli.install import add_chart, release_of
from waybill.deliver import helm
from waybill.deliver.helm import Helm
from waybill.deliver.images.choices import RUNTIMES
from waybill.errors import BadValue
from waybill.sign.trust import Policy
from waybill.source.reference import Reference

if TYPE_CHECKING:
    from waybill.source.reach import Reach

OF_A_RELEASE = {"--all": "all", "--chart": "chart", "--values": "values"}
"""What says more of a release: flag -> where its value is in the arguments."""
MIRROR = "what global.imageRegistry is in the values; oci+http:// before it: without TLS"


def add_registry(
    parser: argparse.ArgumentParser, flag: str, text: str, *, required: bool = False
) -> None:
    parser.add_argument(
        flag, dest="place", required=required, metavar="REGISTRY[/PREFIX]", help=text
    )
    add_registry_ca(parser)


def add_registry_ca(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry-ca", metavar="FILE", help="PEM file of the registry's CA")


def reach_of(args: argparse.Namespace) -> Reach:
    from waybill.source.reach import Reach

    return Reach(ca_bundle=args.registry_ca)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runtime", choices=RUNTIMES, help="who takes them (default: the first that is here)"
    )
    parser.add_argument("--address", metavar="SOCKET", help="containerd's socket")


def add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust", metavar="FILE", help="trust policy: whose signatures the bundle has to have"
    )


def policy_of(args: argparse.Namespace) -> Policy | None:
    """Raises BadFile."""
    return Policy.load(Path(args.trust)) if args.trust else None


def add_list(parser: argparse.ArgumentParser) -> None:
    """Which release the images are of."""
    parser.add_argument(
        "--env",
        dest="environment",
        metavar="ENV",
        help="those that this environment runs (default: all that the chart may run)",
    )
    parser.add_argument(
        "--all", action="store_true", help="with --env: also what its values could switch on"
    )
    add_chart(parser)


def refuse(args: argparse.Namespace, flags: Mapping[str, str], why: str) -> None:
    """Raises BadValue for the first of these that is given: it would count for nothing.

    `flags`: the flag -> where its value is in `args`.
    """
    for flag, name in flags.items():
        if value := getattr(args, name):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            raise BadValue(what=flag, value=text, why=why)


def release(args: argparse.Namespace) -> tuple[Helm, bool]:
    """What `add_list` arguments name, and whether all that it could switch on is meant."""
    if args.environment:
        return release_of(args)[1], args.all
    chart = Path(args.chart) if args.chart else project(args) / helm.CHART
    files = [Path(file) for file in args.values]
    return Helm(chart, "waybill", "waybill", files=files), True


def listed_of(args: argparse.Namespace) -> list[Reference]:
    """The names of its images."""
    from waybill.deliver.images import listed

    chosen, everything = release(args)
    return [one.reference for one in listed(chosen, everything=everything)]
