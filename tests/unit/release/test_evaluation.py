"""The smoke evaluation, against a network peer that answers as it is told to.

A real engine is asked in tests/integration/engine.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.services import free_port
from waybill.errors import BadFile, EngineRefused, EngineUnreachable, OtherRevisionAnswers
from waybill.release import evaluation
from waybill.release.evaluation import Engine, Questions
from waybill.sign.predicates import Outcome

COMMIT = "a" * 40
OTHER = "b" * 40
QUESTIONS = """\
limits: {ttftSeconds: 5, seconds: 5}
questions:
  capital: {ask: "The capital of France?", expect: Pa+ris}
"""


@dataclass
class Peer:
    """Says `words` one by one, with a pause before each."""

    words: list[str] = field(default_factory=lambda: ["It is ", "Paris", "."])
    pause: float = 0.0
    alive: int = 0
    status: int = 200
    models: list[str] = field(default_factory=lambda: ["chat", f"chat@{COMMIT[:8]}"])
    revision: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    authorization: str | None = None
    url: str = ""

    def engine(self, **more: Any) -> Engine:
        return Engine(self.url, "chat", ["talk", "chat"], COMMIT, **more)


def handler(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Be silent."""

        def do_GET(self) -> None:
            peer.authorization = self.headers.get("authorization")
            data = json.dumps({"data": [{"id": name} for name in peer.models]}).encode()
            self.send_response(peer.status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            peer.asked.append({"path": self.path, **json.loads(self.rfile.read(size))})
            self.send_response(peer.status)
            if peer.revision:
                self.send_header("x-waybill-model-revision", peer.revision)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.say({"delta": {"role": "assistant", "content": ""}})
            for _ in range(peer.alive):
                time.sleep(0.02)
                self.wfile.write(b": alive\n\n")
            for word in peer.words:
                time.sleep(peer.pause)
                self.say({"delta": {"content": word}})
            self.wfile.write(b"data: [DONE]\n\n")

        def say(self, choice: dict[str, Any]) -> None:
            self.wfile.write(b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode())

    return Handler


@contextmanager
def listening(peer: Peer) -> Iterator[Peer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(peer)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        peer.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield peer
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with listening(Peer()) as found:
        yield found


def questions(folder: Path, text: str = QUESTIONS) -> Questions:
    path = folder / "smoke.yaml"
    path.write_text(text)
    return Questions.load(path)


def why(peer: Peer, asked: Questions) -> str:
    (answer,) = peer.engine().evaluate(asked)
    return answer.why


def test_a_good_answer_of_the_engine_passes(peer: Peer, tmp_path: Path) -> None:
    asked = questions(tmp_path)
    engine = peer.engine(token="opaque")
    answers = engine.evaluate(asked)
    told = evaluation.trial("smoke", "test", engine, asked, answers)
    assert (told.result, told.passed, told.failed) == (Outcome.PASSED, ("capital",), ())
    (body,) = peer.asked
    assert body["model"] == f"chat@{COMMIT[:8]}" and body["path"] == "/v1/chat/completions"
    assert peer.authorization == "Bearer opaque"
    assert set(told.measured["ttftSeconds"]) == {"p50", "p95"}
    assert "opaque" not in json.dumps(told.as_json())


def test_the_address_may_end_as_that_of_other_clients(peer: Peer, tmp_path: Path) -> None:
    peer.url += "/v1/"
    assert why(peer, questions(tmp_path)) == ""


def test_behind_the_gateway_its_header_says_who_answers(peer: Peer, tmp_path: Path) -> None:
    peer.models, peer.revision = ["talk"], COMMIT
    assert why(peer, questions(tmp_path)) == ""
    assert peer.asked[-1]["model"] == "talk"


@pytest.mark.parametrize(
    ("models", "revision"),
    [(["talk"], OTHER), (["talk"], None), (["chat", f"chat@{OTHER[:8]}"], None), ([], OTHER)],
)
def test_answers_of_another_revision_are_no_evidence(
    peer: Peer, tmp_path: Path, models: list[str], revision: str | None
) -> None:
    peer.models, peer.revision = models, revision
    with pytest.raises(OtherRevisionAnswers, match=COMMIT):
        peer.engine().evaluate(questions(tmp_path))


def test_what_is_not_expected_fails(peer: Peer, tmp_path: Path) -> None:
    peer.words = ["London"]
    assert why(peer, questions(tmp_path)) == "'Pa+ris' is not in 'London'"


def test_silence_fails(peer: Peer, tmp_path: Path) -> None:
    peer.words = []
    assert why(peer, questions(tmp_path)) == "the answer is empty"


def test_a_late_first_token_fails(peer: Peer, tmp_path: Path) -> None:
    peer.pause = 0.05
    text = QUESTIONS.replace("ttftSeconds: 5", "ttftSeconds: 0.01")
    assert "the first token took" in why(peer, questions(tmp_path, text))


def test_an_answer_that_never_ends_is_cut_off(peer: Peer, tmp_path: Path) -> None:
    peer.pause, peer.words = 0.02, ["Paris "] * 500
    began = time.monotonic()
    text = QUESTIONS.replace("seconds: 5}", "seconds: 0.2}")
    assert why(peer, questions(tmp_path, text)) == "the answer took more than 0.2 s"
    assert time.monotonic() - began < 5


def test_an_engine_that_only_keeps_the_line_open_is_cut_off(peer: Peer, tmp_path: Path) -> None:
    """Comments of a stream are no events."""
    peer.alive = 500
    began = time.monotonic()
    text = QUESTIONS.replace("seconds: 5}", "seconds: 0.2}")
    assert why(peer, questions(tmp_path, text)) == "the answer took more than 0.2 s"
    assert time.monotonic() - began < 5


def test_an_optional_question_warns(peer: Peer, tmp_path: Path) -> None:
    text = QUESTIONS.replace("expect: Pa+ris", "expect: London, optional: true")
    asked = questions(tmp_path, text)
    told = evaluation.trial("smoke", "test", peer.engine(), asked, peer.engine().evaluate(asked))
    assert (told.result, told.warned) == (Outcome.WARNED, ("capital",))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_engine_that_takes_no_question_is_an_error(
    peer: Peer, tmp_path: Path, status: int
) -> None:
    peer.status = status
    with pytest.raises(EngineRefused, match=f"HTTP {status}"):
        peer.engine().evaluate(questions(tmp_path))


def test_an_engine_that_is_broken_fails_the_question(peer: Peer, tmp_path: Path) -> None:
    peer.status = 503
    assert why(peer, questions(tmp_path)) == "HTTP 503"


def test_nobody_at_the_address_is_an_error(tmp_path: Path) -> None:
    engine = Engine(f"http://127.0.0.1:{free_port()}", "chat", ["chat"], COMMIT)
    with pytest.raises(EngineUnreachable):
        engine.evaluate(questions(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it asks nothing"),
        ("questions: {}", "non-empty"),
        ("questions: {one: {ask: x}}", "the key 'expect' is missing"),
        ("questions: {one: {ask: x, expect: '('}}", "no regular expression"),
        ("questions: {one: {ask: x, expect: y, maxTokens: many}}", "'many' is not a whole number"),
        ("limits: {seconds: soon}\nquestions: {one: {ask: x, expect: y}}", "is not a number"),
        ("limits: {seconds: 0}\nquestions: {one: {ask: x, expect: y}}", "minimum of 0"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadFile, match="cannot be used") as raised:
        questions(tmp_path, text)
    assert said in str(raised.value)


def test_limits_of_a_question_go_before_those_of_all(tmp_path: Path) -> None:
    text = QUESTIONS.replace("expect: Pa+ris", "expect: x, limits: {seconds: 9}, maxTokens: 7")
    (one,) = questions(tmp_path, text).asked
    assert (one.ttft, one.seconds, one.max_tokens) == (5.0, 9.0, 7)


def test_the_sample_can_be_asked() -> None:
    path = Path(__file__).resolve().parents[3] / evaluation.FILE
    assert [one.name for one in Questions.load(path).asked] == ["capital", "sum", "german"]
