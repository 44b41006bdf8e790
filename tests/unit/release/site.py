"""A project with a policy: keys with names, evidence that they sign, and plans to be judged."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.release.world import REPO, World, new_world, trust_in
from tests.unit.sign.making import policy_file, public_pem, signer
from waybill import digest as digests
from waybill.deliver.environments import Environments
from waybill.digest import Digest
from waybill.manifest import STATEMENT_TYPE, statement
from waybill.release import apply, approve
from waybill.release.apply import Application, Person
from waybill.release.gates.case import Verdict
from waybill.release.plan import Plan
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.predicates import Health, Outcome, Predicate, Trial
from waybill.sign.statements import license_statement
from waybill.sign.trust import now
from waybill.store import evidence, layout
from waybill.store.layout import Ref
from waybill.store.publish import hold

HOUR = timedelta(hours=1)
NAMES = ("release", "watch", "ci", "alice", "bob")


@dataclass
class Site:
    """dev runs a revision that test is to get. `keys`: whoever the trust policy of test names.

    `more` are further entries of its keys.
    """

    project: Path
    keys: dict[str, Signer] = field(default_factory=lambda: {name: signer() for name in NAMES})

    more: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def world(self) -> World:
        """Read anew: tests change what it is made from."""
        return World(self.project)

    @property
    def environments(self) -> Environments:
        return Environments.load(self.project)

    def policy(self, freeze: dict[str, Any] | None = None, **step: Any) -> None:
        """values/policy.yaml: one step, to test."""
        value = {"steps": {"test": step}, "freeze": freeze or {}}
        (self.project / "values/policy.yaml").write_text(json.dumps(value, indent=1))

    def trust(self, *asked: str) -> None:
        """Names all keys; asks for signatures by some."""
        file = self.project / "values/trust/test.yaml"
        file.parent.mkdir(exist_ok=True)
        known = {name: {"publicKey": public_pem(one.private)} for name, one in self.keys.items()}
        known |= self.more
        rule = {"signedBy": list(asked), "unsigned": "refuse"} if asked else {"unsigned": "allow"}
        policy_file(file, keys=known, default=rule)
        trust_in(self.project, ["test"], "values/trust/test.yaml")

    def commit(self) -> str:
        return str(self.world.stable("dev"))

    def sign(self, key: str) -> None:
        """The provenance, by one of the keys."""
        store = self.world.store("dev")
        manifest = store.manifest(REPO, self.commit())
        evidence.sign_provenance(store, REPO, manifest, self.keys[key], "a test")

    def say(self, predicate: Predicate, key: str | None) -> Digest:
        """Evidence in dev; the digest of the envelope."""
        store = self.world.store("dev")
        manifest = store.manifest(REPO, self.commit())
        said = statement(manifest, predicate.TYPE, predicate.as_json())
        made = self.keys[key] if key else signer()
        evidence.add_signed(store, REPO, manifest, said, made)
        return digests.of(dsse.sign(said, made))

    def license(self, name: str | None, key: str | None = None) -> None:
        store = self.world.store("dev")
        manifest = store.manifest(REPO, self.commit())
        said = license_statement(manifest, name)
        hold(store, REPO, manifest.commit, ((said, STATEMENT_TYPE),))
        if key:
            evidence.add_signed(store, REPO, manifest, said, self.keys[key])

    def watched(self, since: datetime, until: datetime, **more: Any) -> Health:
        seen = {"requests": 100, "errors": 0, "ttft_seconds": {"p95": 0.5}, "replicas": 1}
        return Health("dev", "chat", self.commit(), since, until, **{**seen, **more})

    def tested(self, result: str = "PASSED", **more: Any) -> Trial:
        said = {"name": "smoke", "environment": "dev", "model": "chat", "at": now()}
        return Trial(**{**said, "result": Outcome(result), **more})

    def prepare(self, at: datetime | None = None, *models: str, **person: Any) -> Application:
        by = person.pop("by", "carol")
        return apply.prepare(self.environments, "dev", "test", models, Person(by, **person), at=at)

    def take(self, plan: Plan, at: datetime | None = None, **person: Any) -> Application:
        by = person.pop("by", "carol")
        return apply.take(self.environments, plan, "plan.json", Person(by, **person), at=at)

    def approve(self, plan: Plan, key: str | Signer = "alice", by: str = "") -> Digest:
        """The digest of the approval of chat; in the name of the key, where no other is given."""
        made = self.keys[key] if isinstance(key, str) else key
        return approve.approve(self.take(plan, by=by or str(key)), made, now())["chat"]

    def verdict(self, gate: str, application: Application | None = None) -> Verdict:
        judged = application or self.prepare()
        (found,) = [one for one in judged.verdicts if one.gate == gate]
        return found

    def damage_statements(self) -> None:
        """What is said in dev cannot be read: not the statements, but what names them."""
        for file in self.folder("dev", layout.referrers(REPO, self.commit())).iterdir():
            file.write_bytes(b"{")

    def damage_ref(self, environment: str) -> None:
        self.folder(environment, layout.ref(REPO, Ref.pin(environment, "chat"))).write_bytes(b"?")

    def damage_revision(self, environment: str) -> None:
        self.folder(environment, layout.revision(REPO, self.commit())).write_bytes(b"{")

    def folder(self, environment: str, key: str) -> Path:
        return self.project / "stores" / environment / key


def new_site(project: Path) -> Site:
    world = new_world(project)
    world.pin("dev", world.revision("dev", 1).commit)
    world.promote("dev", "test")
    world.pin("dev", world.revision("dev", 2).commit)
    site = Site(project)
    site.trust()
    return site
