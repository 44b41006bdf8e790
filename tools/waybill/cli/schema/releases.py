"""What commands about environments, and the way from one to the next, print."""

from __future__ import annotations

from waybill.cli.schema.shapes import (
    COMMIT,
    DIGEST,
    DRY_RUN,
    ENVIRONMENT,
    KEY_ID,
    MODEL,
    REPO,
    TEXT,
    UNALIASED,
    Shape,
    anything,
    by_name,
    commit,
    count,
    digest,
    either,
    fields,
    flag,
    many,
    maybe,
    number,
    ref,
    text,
    texts,
    verdicts,
)
from waybill.release.plan_schema import SCHEMA as PLAN
from waybill.sign.predicates import Trial

_PLAN = digest("Of the plan that was carried out.")
_OF_PLAN = maybe(DIGEST, "The plan that was carried out; null where the step was none's.")
_SLOT = "stable, canary or previous"
_MOVE = {
    "environment": ENVIRONMENT,
    "model": MODEL,
    "repo": REPO,
    "commit": commit("That the model is, or would be, pinned to."),
    "digest": digest("Of its manifest."),
    "size": count("Bytes of its files."),
    "previous": maybe(COMMIT, "That was pinned; null where none was."),
    "changes": flag("Whether that is another one."),
}
_STEP = {
    "commit": COMMIT,
    "previous": maybe(DIGEST, "Of the record of the step before; null for the first."),
    "at": text("When; UTC."),
    "by": text("Who."),
    "why": text("As that person said; may be empty."),
    "plan": _OF_PLAN,
    "evidence": texts("Digests of what was relied on."),
    "hold": flag("Whether promotions keep their hands off since then."),
}

_PROMOTED = {
    "dryRun": DRY_RUN,
    "from": ENVIRONMENT,
    "to": ENVIRONMENT,
    "plan": _PLAN,
    "gates": verdicts("What each gate said."),
}
_PROMOTE = fields(
    "What was promoted, or would be.",
    _PROMOTED,
    models=many(
        fields(
            "A model.",
            _MOVE,
            blobs=count("Files that were copied, or would be."),
            bytes=count("Of those."),
            unaliased=UNALIASED,
        ),
        "All that the plan moves.",
    ),
)
_REPLAY = fields(
    "Of a bundle that brought a promotion.",
    _PROMOTED,
    models=many(fields("A model.", _MOVE), "All that the plan moves."),
    parted=texts("Models whose history here has gone another way before."),
    signedBy=by_name({"type": "array", "items": TEXT}, "By model, who vouches for its history."),
)

_PINNED = fields(
    "A model there, as the pins file and the store have it.",
    repo=maybe(REPO, "null where neither knows."),
    commit=maybe(COMMIT, "Of the pins file."),
    traffic=by_name(
        fields("A share.", commit=COMMIT, weight=count("Percent.")),
        f"By slot: {_SLOT}.",
    ),
    ref=maybe(COMMIT, "Of the store; null where it has none, or cannot be read."),
    since=maybe(TEXT, "When the store's ref came there; UTC."),
    by=maybe(TEXT, "Who moved it there."),
    hold=flag("Whether promotions keep their hands off."),
    behind=maybe(ENVIRONMENT, "The environment before, where that pins another commit."),
    differs=flag("Whether pins file and store disagree."),
)
_STATUS = fields(
    "What each environment runs.",
    environments=many(
        fields(
            "An environment.",
            name=ENVIRONMENT,
            store=text("As environments.yaml names it."),
            error=maybe(TEXT, "Why the store cannot be read."),
            models=by_name(_PINNED, "By model."),
        ),
        "In the order of promotion.",
    ),
)
_RECORD = fields("A step.", _STEP, repo=REPO, ref=text("As pins/ENVIRONMENT/MODEL."))
_HISTORY = fields(
    "The steps of a model.",
    model=MODEL,
    environments=by_name(
        {"type": "array", "items": _RECORD}, "By environment, the newest step first."
    ),
    errors=by_name(TEXT, "By environment, why its store cannot be read."),
)

_PLACE = fields(
    "What an environment has of it.",
    store=text("As environments.yaml names it."),
    error=maybe(TEXT, "Why the store cannot be read."),
    present=flag("Whether the store has it."),
    refused=maybe(TEXT, "Why the trust policy does not let it in."),
    traffic=by_name(
        by_name(count("Percent."), f"By slot: {_SLOT}."), "By model, its shares of the traffic now."
    ),
    steps=by_name(
        {
            "type": "array",
            "items": fields("A step.", _STEP, digest=digest("Of the record of the step.")),
        },
        "By model that has ever been this revision, its whole history, the newest step first.",
    ),
)
_STATEMENT = fields(
    "Something that is said of it.",
    digest=digest("Of the statement, or of its envelope."),
    predicateType=text("The URI that says of which kind it is."),
    predicate=anything("As that kind has it."),
    signedBy=texts("Names that trust policies have for who signed it."),
    claims=texts("Who the other signatures claim to be from."),
    carriedOut=maybe(
        {"type": "boolean"},
        "Whether a step names the plan that it says was applied; null for what says no such thing.",
    ),
    environments=many(ENVIRONMENT, "Whose stores have it."),
)
_EVIDENCE = fields(
    "What is said of a revision.",
    optional=("files", "out"),
    repo=REPO,
    commit=COMMIT,
    digest=digest("Of its manifest."),
    size=count("Bytes of its files."),
    environments=by_name(_PLACE, "By name, in the order of promotion."),
    evidence=many(_STATEMENT, "Each statement once."),
    files=texts("That were written, with --out."),
    out=text("Where to, with --out."),
)

_FOLLOWED = fields(
    "How a revision did.",
    model=MODEL,
    commit=COMMIT,
    back=maybe(COMMIT, "That has all the traffic again; null where it kept its own."),
    keeps=text("Why it kept its traffic although it did badly; else empty."),
    recorded=maybe(
        {"type": "boolean"}, "Whether the store says that it went back; null where it did not."
    ),
    why=text("Why it did badly; empty where it did well."),
    requests=count("That came."),
    errors=count("Of those that failed."),
    ttftSeconds=by_name(number("Seconds."), "Time to the first token, by quantile."),
    replicas=count("Of its engine."),
    since=text("When it began to be looked at; UTC."),
    until=text("When that ended; UTC."),
)

_SCALAR: Shape = {"type": ["string", "number", "boolean", "null"]}
_SET = fields(
    "What the values file says now, or would.",
    values=text("The file."),
    changes=many(
        fields(
            "A value.",
            {
                "path": text("As global.models.chat.replicas."),
                "from": {**_SCALAR, "description": "null where nothing was there."},
                "to": {**_SCALAR, "description": "As the file has it then."},
            },
        ),
        "Each that was named.",
    ),
    changed=flag("Whether the file is another one."),
    checked=flag("Whether the chart takes it; false also where that is not known."),
    dryRun=DRY_RUN,
)

RESULTS: dict[str, Shape] = {
    "deploy": fields(
        "A model that was brought into an environment.",
        environment=ENVIRONMENT,
        model=MODEL,
        repo=REPO,
        commit=COMMIT,
        bytes=count("That the store lacked."),
        blobs=count("Files that the store lacked."),
        values=maybe(TEXT, "The values file, where it is written, or would be."),
        dryRun=DRY_RUN,
    ),
    "set": _SET,
    "attest": fields(
        "A test of a revision.",
        repo=REPO,
        commit=COMMIT,
        digest=digest("Of its manifest."),
        keyId=KEY_ID,
        predicate=fields("What is kept, as in-toto has it.", Trial.SCHEMA["properties"]),
    ),
    "evidence": _EVIDENCE,
    "pin": fields("Where the model stands.", _MOVE, dryRun=DRY_RUN),
    "status": _STATUS,
    "history": _HISTORY,
    "rollback": fields(
        "Where the model stands.",
        _MOVE,
        dryRun=DRY_RUN,
        delay=maybe(
            fields(
                "How long it takes until the revision answers.",
                seconds=count("At most; 0 where its engines are there."),
                silent=flag("Whether nobody answers until then."),
            ),
            "null where that is not known.",
        ),
    ),
    "plan": {key: value for key, value in PLAN.items() if key not in ("$schema", "title")},
    "approve": fields(
        "An agreement that was signed.",
        plan=digest("Of the plan."),
        countsAs=texts("The target's approvers whose key this is."),
        own=texts("Such that do not count, as the plan is their own."),
        denying=verdicts("What would deny it now, but for approvals."),
        statements=by_name(DIGEST, "By model, the signed statement."),
    ),
    "promote": _PROMOTE,
    "apply": either("What was carried out, or would be.", ref("promote"), _REPLAY),
    "hold release": fields(
        "A hold that is gone.",
        environment=ENVIRONMENT,
        model=MODEL,
        held=fields(
            "The hold.",
            by=text("Who put it on."),
            since=text("When; UTC."),
            why=text("As that person said; may be empty."),
            commit=commit("That the model has stood at."),
        ),
    ),
    "watch": fields(
        "How new revisions did.",
        models=many(_FOLLOWED, "Each that was followed."),
    ),
}
