"""Drift between pins and a model hub, which is asked as an engine that starts would ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waybill.deliver.differences import NOTHING
from waybill.deliver.pins import Revision
from waybill.errors import SourceUnreachable
from waybill.release.drift import Drift, Finding, gone
from waybill.source.pull import Manner, Patience
from waybill.store.work import parallel

if TYPE_CHECKING:
    import httpx2

_AT_ONCE = 2
"""As many as one hub reads for those who show no token; more would only wait there."""
_ADVICE = (
    "waybill drift ENV says whether the store has lost it: then waybill sideload or promote brings "
    "it back; if not, the hub's trust policy refuses it, and waybill evidence says who has signed "
    "it: have it signed, or correct the policy; engines that run go on"
)


@dataclass(frozen=True)
class Limits:
    """Seconds. `patience`: without any answer, after which a hub is given up; as no longer pause
    fits in by then, it is asked for about a minute. `answer`: for one, for which a hub may have to
    ask its store. `budget`: for all, so that the chart's Job ends by itself, and says what it has
    found."""

    patience: float = 75.0
    answer: float = 30.0
    budget: float = 420.0


def in_hub(
    drift: Drift,
    url: str,
    revisions: Sequence[Revision],
    tell: Callable[[str], None] = lambda _: None,
    limits: Limits | None = None,
) -> None:
    """What a model hub does not give of these; `tell` hears why it is waited for."""
    # Asked for in the cluster alone, where no proxy stands between the two.
    import httpx2

    limits = limits or Limits()
    with httpx2.Client(base_url=url, trust_env=False, timeout=limits.answer) as client:
        asking = _Asking(client, limits, tell)
        answers = parallel(asking.about, revisions, _AT_ONCE)
    drift.findings += [each for each in answers if isinstance(each, Finding)]
    unread: dict[str, list[str]] = {}
    for revision, answer in zip(revisions, answers, strict=True):
        if isinstance(answer, str):
            unread.setdefault(answer, []).append(f"{revision.repo}@{revision.commit}")
    for why, which in unread.items():
        drift.unread.append(f"the hub {url}: {why}, for {', '.join(which)}")


class _Asking:
    """Shared by threads: a hub that answers one question is there for the others, too."""

    def __init__(self, client: httpx2.Client, limits: Limits, tell: Callable[[str], None]) -> None:
        self._client, self._limits = client, limits
        self._end = time.monotonic() + limits.budget
        self._patience = Patience(Manner(limits.patience, tell=tell))

    def about(self, pinned: Revision) -> Finding | str | None:
        """A finding, or why there is no answer; None where the hub gives it."""
        try:
            status = self._patience.until_done(lambda: self._status(pinned))
        except SourceUnreachable as error:
            return str(error.facts["why"])
        if status is None:
            return f"no answer within the {self._limits.budget:g} s for all questions"
        self._patience.progress()
        if status == 404:
            return gone(pinned, NOTHING, _ADVICE)
        return None if status == 200 else f"it answers {status}"

    def _status(self, pinned: Revision) -> int | None:
        """None once the time for all is over. Raises SourceUnreachable, to be asked again."""
        import httpx2

        if time.monotonic() >= self._end:
            return None
        try:
            asked = f"/readyz/{pinned.repo}/{pinned.commit}/{pinned.digest}"
            answer = self._client.get(asked)
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise SourceUnreachable(source=self._client.base_url, why=why) from error
        if answer.is_server_error:
            why = f"it answers {answer.status_code}"
            raise SourceUnreachable(source=self._client.base_url, why=why)
        return answer.status_code
