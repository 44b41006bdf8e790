"""What commands about container images and releases of installers print."""

from __future__ import annotations

from waybill.cli.schema.shapes import (
    COMMIT,
    DIGEST,
    DRY_RUN,
    REPO,
    TEXT,
    WRONG,
    Shape,
    anyhow,
    count,
    digest,
    either,
    fields,
    flag,
    many,
    maybe,
    one_of,
    text,
    texts,
)

_NAME = text("registry/repository:tag, with @sha256:… where it says that.")
_IMAGE = fields("An image.", name=_NAME, digest=DIGEST, size=count("Bytes."))
_LISTED = fields(
    "An image that a release may run.",
    optional=("size",),
    name=_NAME,
    registry=text("Part of the name."),
    repository=text("Part of the name."),
    tag=text("Part of the name."),
    digest=text("sha256:…; empty where neither the name nor a registry says it."),
    components=texts("The pods that run it."),
    path=text("Where the values name it; empty where they do so in another way."),
    needs=text("What of the values brings it; empty for always."),
    size=count("Bytes, where an archive or a registry was asked."),
)
_SAVED = {
    "images": many(_IMAGE, "That are in the bundle."),
    "files": texts("Other files that are in it: the chart, and the list of all."),
    "bytes": count("That go into the parts."),
    "parts": count("How many."),
    "leftOut": count("Blobs that the base has, or the bundle had."),
}
_FOUND = fields(
    "An image that was looked for in a registry.",
    name=_NAME,
    digest=maybe(DIGEST, "null where it is not there."),
    wrong=text("Empty where all is as it should be."),
)
_ASKED = {"images": many(_FOUND, "What the registry was asked for.")}
_FINDING = fields(
    "What breaks a rule.",
    rule=text("Its name."),
    level=one_of("An error refuses the release.", "error", "warn", "info"),
    file=text("Of the release; empty for all of it."),
    message=text("What is wrong."),
)
_FINDINGS = {"findings": many(_FINDING, "What breaks rules.")}

RESULTS: dict[str, Shape] = {
    "images list": fields(
        "Images of a release, or of a bundle.",
        images={
            "type": "array",
            "description": "In order of name.",
            "items": {"anyOf": [_LISTED, _IMAGE]},
        },
    ),
    "images save": fields(
        "What is saved, or would be.",
        _SAVED,
        optional=("reused",),
        reused=count("Parts that an earlier run had finished; not with --dry-run."),
    ),
    "images push": fields(
        "What a registry was sent.",
        registry=text("With the prefix, if there is one."),
        images=many(
            fields(
                "An image.",
                name=_NAME,
                digest=DIGEST,
                new=flag("Whether the registry lacked it."),
            ),
            "All of the bundle.",
        ),
        blobs=count("That the registry lacked."),
        bytes=count("Of those."),
        dryRun=DRY_RUN,
    ),
    "images load": fields(
        "What a runtime was given.",
        runtime=text("Its program."),
        images=texts("Names."),
        said=text("What the program said."),
    ),
    "images chart": fields(
        "Charts that were put where a project has them, or would be.",
        charts=many(
            fields(
                "A chart.",
                name=text("Its name."),
                version=text("Its version."),
                digest=digest("Of its archive in the bundle."),
                path=text("Its folder."),
                new=flag("Whether it was not there as it is in the bundle."),
                replaced=flag("Whether another one was there."),
            ),
            "All of the bundle.",
        ),
        dryRun=DRY_RUN,
    ),
    "images bom": fields(
        "The list of all that is in a bundle.",
        digest=digest("Of the list."),
        file=maybe(TEXT, "Where it was written; null without --out."),
        signature=maybe(TEXT, "The file with its signature; null without --key."),
        bom=anyhow("CycloneDX 1.6."),
    ),
    "images verify": either(
        "What was found.",
        fields("In a registry alone.", _ASKED),
        fields(
            "In a bundle, and the registry that was named.",
            _ASKED,
            wrong=WRONG,
            missing=texts("Parts that are not on these media."),
            good=count("Parts that are good."),
            unlisted=texts("Images of the release that the bundle does not have, in sentences."),
        ),
    ),
    "images from-model": fields(
        "An image that was made of a model.",
        name=_NAME,
        digest=DIGEST,
        size=count("Bytes."),
        repo=REPO,
        commit=COMMIT,
        sent=count("Bytes that were sent or written."),
    ),
    "package": either(
        "A release for an installer.",
        fields("With --lint.", _FINDINGS),
        fields(
            "That was written.",
            _FINDINGS,
            target=text("The installer."),
            version=text("Of the release."),
            release=text("Its folder."),
            archive=text("The same as a file."),
            bom=text("The file that lists what is in it."),
            signature=maybe(TEXT, "The file with the signature of that; null without --key."),
            images=texts("That belong to it."),
        ),
    ),
}
