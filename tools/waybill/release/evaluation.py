"""The smoke evaluation: a few questions to a deployed engine, over the API that clients use.

    limits: {ttftSeconds: 2, seconds: 30}
    questions:
      capital: {ask: "What is the capital of France?", expect: Paris}
      sum: {ask: "What is 17 + 4?", expect: '\\b21\\b', maxTokens: 16, optional: true}

It is no benchmark. It tells a model that answers from one that is broken, slow, or another one: an
answer counts only when it comes from the revision in question, as the engine or the gateway says.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from waybill import digest as digests
from waybill import files
from waybill.digest import Digest
from waybill.errors import BadFile, EngineRefused, EngineUnreachable, OtherRevisionAnswers
from waybill.sign.predicates import Outcome, Trial
from waybill.store.connect import trusting

FILE = "values/smoke.yaml"
REVISION_HEADER = "x-waybill-model-revision"
"""The gateway says in it which commit has answered."""
_REFUSALS = (401, 403, 404)
_SHOWN = 80


def _number(text: str) -> dict[str, Any]:
    return {"type": "number", "exclusiveMinimum": 0, "description": text}


_LIMITS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "ttftSeconds": _number("Seconds to the first token, at most (default: 10)."),
        "seconds": _number("Seconds to the end of the answer, at most (default: 60)."),
    },
    "description": "How long an answer may take.",
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill smoke evaluation",
    "description": "Questions to a deployed engine, and what their answers have to be like.",
    "type": "object",
    "additionalProperties": False,
    "required": ["questions"],
    "properties": {
        "limits": _LIMITS,
        "questions": {
            "description": "By a name of yours, which the evidence keeps.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["ask", "expect"],
                "properties": {
                    "ask": {"type": "string", "description": "What the user says."},
                    "expect": {
                        "type": "string",
                        "description": "A regular expression (Python) found in a good answer.",
                    },
                    "maxTokens": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "Tokens of the answer, at most (default: 64).",
                    },
                    "optional": {
                        "type": "boolean",
                        "description": "A bad answer is a warning, and no failure.",
                    },
                    "limits": _LIMITS,
                },
            },
        },
    },
}
"""The schema of values/smoke.yaml (JSON Schema 2020-12)."""


@dataclass(frozen=True)
class Question:
    """Times are in seconds."""

    name: str
    ask: str
    expect: re.Pattern[str]
    max_tokens: int
    optional: bool
    ttft: float
    seconds: float


@dataclass(frozen=True)
class Questions:
    """The questions of a file; `digest` is the file's."""

    asked: tuple[Question, ...]
    digest: Digest

    @classmethod
    def load(cls, path: Path) -> Questions:
        """Raises BadFile."""
        value = files.load(path, SCHEMA, blocks=True)
        if value is None:
            raise BadFile(path=path, why="it asks nothing")
        limits = {"ttftSeconds": 10, "seconds": 60, **value.get("limits", {})}
        asked = [_question(path, name, one, limits) for name, one in value["questions"].items()]
        return cls(tuple(asked), digests.of(path.read_bytes()))


def _question(
    path: Path, name: str, one: Mapping[str, Any], limits: Mapping[str, float]
) -> Question:
    try:
        expect = re.compile(one["expect"])
    except re.error as error:
        why = f"questions.{name}.expect is no regular expression: {error}"
        raise BadFile(path=path, why=why) from error
    own = {**limits, **one.get("limits", {})}
    optional, most = one.get("optional", False), one.get("maxTokens", 64)
    times = float(own["ttftSeconds"]), float(own["seconds"])
    return Question(name, one["ask"], expect, most, optional, *times)


@dataclass(frozen=True)
class Answer:
    """`why` says what is wrong with it; empty: nothing. `ttft` is None where no token came."""

    question: Question
    why: str
    ttft: float | None
    seconds: float


@dataclass(frozen=True)
class Engine:
    """Where the questions go: an engine, or the gateway in front of it.

    `names` are those that clients know the model by; `commit` is the revision that has to answer.
    """

    url: str
    model: str
    names: Sequence[str]
    commit: str
    token: str = ""
    ca_bundle: str | None = None

    def evaluate(self, questions: Questions) -> list[Answer]:
        """Ask one after the other. Raises BadFile for the CA bundle, EngineUnreachable,
        EngineRefused, OtherRevisionAnswers."""
        with self._client() as client:
            name = self._name(client)
            return [self._ask(client, name, question) for question in questions.asked]

    def _client(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        context = trusting(self.ca_bundle)
        base = self.url.rstrip("/").removesuffix("/v1")
        return httpx2.Client(base_url=base, headers=headers, verify=context, timeout=30)

    def _name(self, client: httpx2.Client) -> str:
        """An engine has a name for this very revision; the gateway is asked by the public one."""
        with self._reaching():
            response = client.get("/v1/models")
        if response.status_code in _REFUSALS:
            raise self._refused(response)
        known = _names(response)
        own = f"{self.model}@{digests.short_commit(self.commit)}"
        if own in known:
            return own
        others = [name for name in known if name.startswith(f"{self.model}@")]
        if others:
            raise OtherRevisionAnswers(url=self.url, found=others[0], commit=self.commit)
        return self.names[0]

    def _ask(self, client: httpx2.Client, name: str, question: Question) -> Answer:
        body = {
            "model": name,
            "messages": [{"role": "user", "content": question.ask}],
            "max_tokens": question.max_tokens,
            "temperature": 0,
            "seed": 0,
            "stream": True,
        }
        began = time.monotonic()
        try:
            with client.sse(
                "/v1/chat/completions", method="POST", json=body, timeout=question.seconds
            ) as events:
                response = events.response
                if response.status_code in _REFUSALS:
                    response.read()
                    raise self._refused(response)
                if response.status_code != httpx2.codes.OK:
                    return _failed(question, f"HTTP {response.status_code}", began)
                self._check_revision(response, name)
                assert isinstance(response.stream, httpx2.SyncByteStream)  # noqa: S101 - for the type
                response.stream = _Limited(response.stream, began + question.seconds)
                return _judged(question, map(_token, (one.data for one in events)), began)
        except httpx2.HTTPError as error:
            return _failed(question, f"no answer ({type(error).__name__})", began)

    def _check_revision(self, response: httpx2.Response, name: str) -> None:
        if name.startswith(f"{self.model}@"):
            return
        found = response.headers.get(REVISION_HEADER) or "a revision that it does not name"
        if found != self.commit:
            raise OtherRevisionAnswers(url=self.url, found=found, commit=self.commit)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise EngineUnreachable(url=self.url, why=str(error) or type(error).__name__) from error

    def _refused(self, response: httpx2.Response) -> EngineRefused:
        said = " ".join(response.text[:_SHOWN].split())
        return EngineRefused(
            url=self.url, status=response.status_code, why=said or "without a word"
        )


class _Limited(httpx2.SyncByteStream):
    """What comes until then: also a stream of bytes that are no events comes to an end."""

    def __init__(self, stream: httpx2.SyncByteStream, until: float) -> None:
        self._stream, self._until = stream, until

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield chunk
            if time.monotonic() > self._until:
                return

    def close(self) -> None:
        self._stream.close()


def _names(response: httpx2.Response) -> list[str]:
    """Of the models; empty where the server has no such list."""
    try:
        return [str(one["id"]) for one in response.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def _token(data: str) -> str:
    """The text in an event of the stream. What is no such event has none."""
    try:
        delta = json.loads(data)["choices"][0]["delta"]
        return str(delta.get("content") or delta.get("reasoning_content") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _judged(question: Question, tokens: Iterator[str], began: float) -> Answer:
    text, ttft = "", None
    for token in tokens:
        if token and ttft is None:
            ttft = time.monotonic() - began
        text += token
    seconds = time.monotonic() - began
    return Answer(question, _objection(question, text, ttft, seconds), ttft, seconds)


def _objection(question: Question, text: str, ttft: float | None, seconds: float) -> str:
    if ttft is not None and ttft > question.ttft:
        return f"the first token took {ttft:.1f} s, more than {question.ttft:g} s"
    if seconds > question.seconds:
        return f"the answer took more than {question.seconds:g} s"
    if ttft is None:
        return "the answer is empty"
    if not question.expect.search(text):
        return f"{question.expect.pattern!r} is not in {text[:_SHOWN]!r}"
    return ""


def _failed(question: Question, why: str, began: float) -> Answer:
    return Answer(question, why, None, time.monotonic() - began)


def trial(
    name: str, environment: str, engine: Engine, questions: Questions, answers: Sequence[Answer]
) -> Trial:
    """The result of an evaluation, as evidence says it."""
    passed = tuple(one.question.name for one in answers if not one.why)
    warned = tuple(one.question.name for one in answers if one.why and one.question.optional)
    failed = tuple(one.question.name for one in answers if one.why and not one.question.optional)
    times = sorted(one.ttft for one in answers if one.ttft is not None)
    return Trial(
        name=name,
        environment=environment,
        model=engine.model,
        at=datetime.now(UTC),
        result=Outcome.FAILED if failed else Outcome.WARNED if warned else Outcome.PASSED,
        passed=passed,
        warned=warned,
        failed=failed,
        configuration=(
            {"name": "questions", "digest": {"sha256": digests.hex_of(questions.digest)}},
            {"name": "engine", "uri": engine.url},
        ),
        seconds=round(sum(one.seconds for one in answers), 3),
        measured={"ttftSeconds": _quantiles(times)} if times else {},
    )


def _quantiles(times: Sequence[float]) -> dict[str, float]:
    """Of a few values: the larger neighbour, so that one slow answer of ten is seen."""
    high = times[min(len(times) - 1, int(0.95 * len(times)))]
    return {"p50": round(statistics.median_high(times), 3), "p95": round(high, 3)}
