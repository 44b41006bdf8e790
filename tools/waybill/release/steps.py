"""How a new revision gets its traffic: shares and pauses of the values, and when it has to go back.

`global.models.<model>.steps` names the shares; the last one, 100, follows by itself. All here is
decided from numbers that others have read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waybill.deliver import values
from waybill.deliver.environments import Environment
from waybill.deliver.metrics import Seen
from waybill.errors import BadFile


@dataclass(frozen=True)
class Share:
    """A share of the traffic in percent, and the seconds for which it is looked at."""

    weight: int
    seconds: int


@dataclass(frozen=True)
class Limits:
    """What a revision must not exceed: a share of errors, seconds to the first token (p95).

    Fewer than `requests` are judged only once the pause of their step is over.
    """

    errors: float = 0.05
    ttft: float | None = None
    requests: int = 20

    def breach(self, seen: Seen, *, over: bool = False) -> str:
        """What is wrong; empty while nothing is. `over`: no more requests come."""
        if seen.requests < (1 if over else self.requests):
            return ""
        if (share := seen.errors / seen.requests) > self.errors:
            told = f"{seen.errors} of {seen.requests} requests failed"
            return f"{told} ({share:.1%}, and {self.errors:.1%} is the most)"
        slow = seen.ttft.get("p95", 0.0)
        if self.ttft is not None and slow > self.ttft:
            told = f"one request in twenty waits {slow:.2f} s for its first token"
            return f"{told}, and {self.ttft:g} s is the most"
        return ""


@dataclass(frozen=True)
class Steps:
    """A model's shares, in order and without the last, and what each is judged by."""

    shares: Sequence[Share] = ()
    limits: Limits = Limits()

    def left(self, weight: int, seconds: int) -> list[Share]:
        """From a share that is reached on, and then all for `seconds`."""
        return [each for each in self.shares if each.weight >= weight] + [Share(100, seconds)]


def of(environment: Environment, model: str) -> Steps:
    """Those in the environment's values file. Raises BadFile."""
    entry = values.model(environment.values_path, model)
    given = entry.get("limits") or {}
    try:
        shares = [
            Share(int(each["weight"]), seconds(each["pause"])) for each in entry.get("steps", ())
        ]
        limits = Limits(
            errors=float(given.get("errorPercent", 100 * Limits.errors)) / 100,
            ttft=float(given["ttftSeconds"]) if "ttftSeconds" in given else None,
            requests=int(given.get("requests", Limits.requests)),
        )
    except (KeyError, TypeError, ValueError) as error:
        at = f"global.models.{model}.steps and limits"
        why = f"{at}: write them as tools/docs/rollout.md says ({error!r})"
        raise BadFile(path=environment.values_path, why=why) from error
    return Steps(tuple(shares), limits)


def seconds(text: str) -> int:
    """Of `30s`, `10m`, `2h` or `1d`. Raises ValueError, KeyError."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1:]]
