"""`waybill sideload --in-cluster`: what the command line says, as the arguments of a Job."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from waybill.cli.install import add_chart, release_of
from waybill.cli.sources import said_of
from waybill.deliver.cluster import Cluster
from waybill.deliver.environments import Environment
from waybill.deliver.import_job import Import
from waybill.deliver.rollout import Object
from waybill.errors import BadValue

_ONLY = ("source_secret", "chart", "values")
_HERE = {
    "wait": "a bundle is read where its media are",
    "key": "the key is on this machine; sign the revision in the store afterwards: waybill sign",
    "certificate": "it goes with a key, which is on this machine",
    "trust": "the environment says whom it trusts",
    "endpoint": "the environment's values say where its store is",
    "profile": "the Job has the keys of the environment's sideload user",
    "ca_bundle": "the Job trusts what global.caBundle says",
    "allow_root": "the Job reads the claim that the source names, and nothing else",
}
"""Flags of `sideload` that mean something of this machine, and why a Job does not take them."""
_IN_SECRET = {
    "caBundle": "ca.crt",
    "clientCertificate": "tls.crt",
    "clientKey": "tls.key",
    "tokenFile": "token",
}
"""What names a file here, by its key of a manifest -> the key of --source-secret instead."""


def add_in_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--in-cluster",
        action="store_true",
        help="run it as a Job in the environment's cluster, which also reads pvc://claim/path; "
        "--dry-run prints that Job",
    )
    parser.add_argument(
        "--source-secret",
        metavar="NAME",
        help="with --in-cluster: a Secret in the namespace with the source's credentials",
    )
    add_chart(parser)


def refuse_in_cluster(args: argparse.Namespace) -> None:
    """Raises BadValue for flags that a Job alone takes."""
    for flag in _ONLY:
        if value := getattr(args, flag):
            raise BadValue(what=_flag(flag), value=value, why="it goes with --in-cluster")


def job_of(args: argparse.Namespace) -> tuple[Object, Cluster]:
    """The Job, and the cluster it is for.

    Raises BadValue for what a Job cannot be told, and for a claim or Secret that is not there;
    UnknownEnvironment, BadFile, HelmFailed.
    """
    args.environment = args.store
    environment, release = release_of(args)
    said = _said(args)
    secret = args.source_secret or said.get("secret")
    wanted = Import(said["source"], tuple(_flags(args, said, environment)), secret, args.by)
    cluster = Cluster(release.namespace, release.context)
    return wanted.job(release, cluster), cluster


def _said(args: argparse.Namespace) -> Mapping[str, Any]:
    for flag, why in _HERE.items():
        if value := getattr(args, flag):
            raise BadValue(what=_flag(flag), value=str(value), why=why)
    if len(args.what) > 1:
        why = "one source at a time; a bundle is read where its media are"
        raise BadValue(what="source", value=" ".join(args.what), why=why)
    args.source = args.what[0] if args.what else None
    said = said_of(args)
    for key, there in _IN_SECRET.items():
        if value := said.get(key):
            why = f"a Job has no file of this machine: put it into --source-secret as {there}"
            raise BadValue(what=key, value=value, why=why)
    return said


def _flags(
    args: argparse.Namespace, said: Mapping[str, Any], environment: Environment
) -> Iterator[str]:
    """In one word each, so that no value is taken for a flag."""
    capacity = args.capacity or environment.capacity
    pairs = {
        "as": said.get("as"),
        "source-endpoint": said.get("endpoint"),
        "source-profile": said.get("profile"),
        "source-sha256": said.get("sha256"),
        "branch": args.branch,
        "tag": args.tag,
        "limit-rate": args.limit_rate,
        "capacity": capacity,
        "why": args.why,
    }
    yield from (f"--{name}={value}" for name, value in pairs.items() if value)
    for name in ("include", "exclude"):
        yield from (f"--{name}={pattern}" for pattern in said.get(name) or ())
    bare = {
        "allow-pickle": said.get("allowPickle"),
        "repair": args.repair,
        "single-writer": args.single_writer,
        "verify=deep": args.verify == "deep",
    }
    yield from (f"--{name}" for name, wanted in bare.items() if wanted)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
