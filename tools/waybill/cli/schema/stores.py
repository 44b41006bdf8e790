"""What commands about bundles and stores print."""

from __future__ import annotations

from waybill.cli.schema.shapes import (
    COMMIT,
    DIGEST,
    DRY_RUN,
    KEY_ID,
    REPO,
    TEXT,
    UNALIASED,
    UNTRUSTED,
    WOULD,
    WRONG,
    Shape,
    anyhow,
    by_name,
    commit,
    count,
    either,
    fields,
    flag,
    many,
    maybe,
    one_of,
    text,
    texts,
)

_STORE = text("URL of the store.")
_REVISION = {"repo": REPO, "commit": COMMIT}
_BLOBS = count("Different contents of files, each counted once.")

_PULLED = {**_REVISION, "files": count("Of the revision.")}
_PULL = either(
    "What was read, or would be.",
    fields(
        "With --dry-run.",
        _PULLED,
        bytes=count("Of all of its files."),
        dryRun=WOULD,
    ),
    fields(
        "After the download.",
        _PULLED,
        fetched=count("Files that were read."),
        kept=count("Files that were there already."),
    ),
)

_REF = fields(
    "A ref of the source.",
    _REVISION,
    ref=text("As heads/main, tags/NAME, or pins/ENVIRONMENT/MODEL."),
    held=maybe(COMMIT, "Where it stood in the target; null where there was none."),
    fate=one_of(
        "moves: as in the source now; stands: was so; ahead: the target knows later steps; apart: "
        "their histories differ, so it stays; refused: the revision is damaged or not trusted.",
        *("moves", "stands", "ahead", "apart", "refused"),
    ),
)
_SYNC = fields(
    "What went from a store into another.",
    source=_STORE,
    target=_STORE,
    dryRun=DRY_RUN,
    revisions=count("That are complete in the target, or would be."),
    blobs=count("That the target lacked."),
    bytes=count("Of those blobs."),
    skipped=count("Blobs that were there."),
    moved=count("Refs that were moved, or would be."),
    refs=many(_REF, "Each ref of the source."),
    unaliased=UNALIASED,
    wrong=WRONG,
)

_GOING = fields(
    "Revisions and objects; what of a revision others need, stays.",
    revisions=many(
        fields(
            "A revision that no ref needs.",
            _REVISION,
            since=text("When a prune first noted it; UTC."),
            bytes=count("That it alone takes."),
        ),
        "Those that go.",
    ),
    keys=texts("Objects of the store."),
    bytes=count("Of the objects."),
)
_PRUNE = fields(
    "What goes, and what stays.",
    store=_STORE,
    dryRun=DRY_RUN,
    deleted=_GOING,
    noted={**_GOING, "description": "What a later prune may delete."},
    kept=many(
        fields("A revision.", _REVISION, why=texts("What needs it, as people read it.")),
        "Revisions that stay.",
    ),
)

_SIGN = either(
    "What was signed.",
    fields("A revision, with --repo.", _REVISION, store=_STORE, keyId=KEY_ID),
    fields(
        "A directory.",
        signature=text("The file with the signature."),
        files=count("That are signed."),
        keyId=KEY_ID,
    ),
)

_FILE = fields("A file of a revision.", path=text("In it."), size=count("Bytes."), digest=DIGEST)
_INSPECT = fields(
    "What a bundle holds, as its index says.",
    revisions=many(
        fields(
            "A revision.",
            _REVISION,
            digest=DIGEST,
            origin=anyhow("What its provenance says: source, repo, commit, license, dropped."),
            signers=texts("Who its signatures claim to be from; `verify --trust` checks them."),
            files=many(_FILE, "All of them."),
        ),
        "Models.",
    ),
    sealedBy=texts("Who the signatures of bundle.json claim to be from."),
    images=many(
        fields("An image.", name=text("In full."), size=count("Bytes."), digest=DIGEST),
        "Container images.",
    ),
    parts=many(
        fields(
            "A file of the bundle.",
            name=text("Of the file."),
            size=count("Bytes."),
            present=flag("Whether it is on these media."),
        ),
        "In their order.",
    ),
    base=maybe(
        fields(
            "A bundle or store that has what is left out.",
            of=text("Its name."),
            files=count("That are left out."),
            bytes=count("Of those."),
        ),
        "null where nothing is left out.",
    ),
)

_VERIFY = either(
    "What was found.",
    fields(
        "Of a bundle.",
        parts=count("That belong to it."),
        good=count("That are here and good."),
        missing=texts("Parts that are not on these media."),
        wrong=WRONG,
        untrusted=UNTRUSTED,
    ),
    fields(
        "Of a store.",
        revisions=count("That were checked."),
        blobs=_BLOBS,
        wrong=WRONG,
        files=by_name({"type": "array", "items": TEXT}, "Of what is damaged, the files it is."),
        untrusted=UNTRUSTED,
    ),
)

_PACKED = {
    "repo": REPO,
    "files": count("That are in it."),
    "dropped": by_name(TEXT, "Files of the source that are not, and why."),
    "bytes": count("That go into the parts."),
    "parts": count("How many."),
    "base": maybe(
        fields(
            "A bundle or store that has what is left out.",
            of=text("Its name."),
            files=count("That are left out."),
        ),
        "null without --base.",
    ),
}
_PACK = either(
    "What the bundle holds.",
    fields(
        "With --dry-run.",
        _PACKED,
        partSize=count("Bytes that a part has at most."),
        packed=many(
            fields(
                "A file.",
                path=text("In the revision."),
                size=count("Bytes."),
                there=flag("Whether the base has it."),
            ),
            "Each file.",
        ),
        dryRun=WOULD,
    ),
    fields(
        "When it was written.",
        _PACKED,
        keyId=maybe(TEXT, "Id of the key that signed; null without --key."),
        commit=commit("That the source became."),
        reused=count("Parts that an earlier run had finished."),
    ),
)

_SENT = {
    "store": _STORE,
    "blobs": _BLOBS,
    "missing": count("Blobs that the store lacked."),
    "damaged": count("Blobs that were there and are sent again."),
    "bytes": count("That were sent, or would be."),
}
_LOADED = fields(
    "When it was done.",
    _SENT,
    optional=("job",),
    revisions=many(
        fields(
            "A revision that is in the store now.",
            _REVISION,
            refs=texts("That stand at it, as heads/main."),
            notes=texts("What a person should know."),
        ),
        "All that were brought.",
    ),
    job=text("Name of the Job that did it, with --in-cluster."),
)
_SIDELOAD = either(
    "What went into the store.",
    _LOADED,
    fields("With --dry-run.", _SENT, dryRun=WOULD),
    fields("With --in-cluster, where its log was gone.", job=text("Name of the Job.")),
    fields("With --in-cluster and --dry-run.", job=anyhow("The Job, as Kubernetes takes it.")),
)

RESULTS: dict[str, Shape] = {
    "store init": fields(
        "What store.json holds.",
        url=_STORE,
        format=count("Of the store's layout."),
        id=text("A UUID, which plans name."),
        conditionalWrites=flag("Whether the server can refuse a write that comes too late."),
    ),
    "inventory": fields(
        "What was listed.",
        url=_STORE,
        files=count("That the store has."),
        bytes=count("Of those."),
        out=text("The file that lists them."),
    ),
    "pull": _PULL,
    "sync": _SYNC,
    "prune": _PRUNE,
    "sign": _SIGN,
    "inspect": _INSPECT,
    "verify": _VERIFY,
    "pack": _PACK,
    "sideload": _SIDELOAD,
}
