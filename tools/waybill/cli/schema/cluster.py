"""What commands about clusters and hosts print."""

from __future__ import annotations

from waybill.cli.schema.shapes import (
    DRY_RUN,
    Shape,
    anyhow,
    count,
    fields,
    flag,
    many,
    one_of,
    text,
    texts,
)

_CHANGE = fields(
    "An object that differs.",
    verb=one_of("What becomes of it.", "add", "change", "remove"),
    kind=text("Of the object."),
    name=text("Of the object."),
)
_DIFFERENCE = fields(
    "One thing that is not as it should be.",
    between=text("The two that disagree."),
    object=text("What they disagree about."),
    field=text("Of the object; empty for all of it."),
    expected=text("What should be."),
    found=text("What is."),
    by=text("Who has changed it, as the cluster says; may be empty."),
    advice=text("What to do; may be empty."),
)
_EXAMINED = fields(
    "What a check found.",
    check=text("Its name."),
    level=one_of("`fail` makes an installation fail.", "ok", "warn", "fail"),
    message=text("What it found."),
    hint=text("What to do; may be empty."),
)

RESULTS: dict[str, Shape] = {
    "secrets": fields(
        "Secrets of an environment.",
        made=texts("Names of those that were made, or would be."),
        kept=texts("Names of those that were there."),
        dryRun=DRY_RUN,
    ),
    "provision object-store": fields(
        "A bucket that is set up.",
        url=text("Of the store to come."),
        madeBucket=flag("Whether it was not there."),
        users=texts("That may use it."),
        removed=texts("Users and policies of an earlier version that are gone."),
    ),
    "provision realm": fields(
        "A realm that is as its file says.",
        realm=text("Its name."),
        made=texts("What was not there."),
        changed=texts("What was otherwise."),
        kept=count("Parts that were as they should be."),
    ),
    "install": fields(
        "What changed in the cluster, or would.",
        dryRun=DRY_RUN,
        revision=count("Of the release before; 0 before the first."),
        changes=many(_CHANGE, "Objects, without those that hooks make."),
        notes=text("What the chart says afterwards."),
    ),
    "render": fields(
        "What an installation would consist of.",
        objects=many(anyhow("As Kubernetes takes it."), "In the order of the installation."),
    ),
    "doctor": fields(
        "What an installation would meet.",
        ok=flag("Whether nothing fails."),
        findings=many(_EXAMINED, "What each check found."),
    ),
    "drift": fields(
        "What differs.",
        findings=many(_DIFFERENCE, "Each of them."),
        unread=texts("What could not be looked at, and why."),
    ),
    "compose": fields(
        "The files of an environment for a host.",
        dryRun=DRY_RUN,
        services=texts("Names."),
        images=texts("That the services run."),
        changed=texts("Files that were written, or would be."),
        gone=texts("Files that were removed, or would be."),
        secrets=fields(
            "Secrets as files.",
            made=texts("Names of those that were made, or would be."),
            all=texts("Names of all."),
        ),
        foreign=texts("Folders that another user has to own."),
    ),
    "hub": fields("Nothing: it ends when it is stopped."),
}
