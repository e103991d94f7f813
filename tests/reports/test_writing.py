"""A language model as writer, played by a local server that answers well, badly, late and never."""

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from medsmith.errors import RequestError
from medsmith.reports.rules import stated_attributes
from medsmith.reports.sampling import check_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.values import read_values
from medsmith.reports.writing.endpoint import Endpoint
from medsmith.reports.writing.writer import write_report

GOOD: dict[str, Any] = {
    "enhancement": "enhanced CT",
    "organ": "kidney_left",
    "shape": ["round-like"],
    "size_mm": [20, 18, 22],
    "density": "hypodense fluid-like",
    "density_variation": "homogeneous",
    "ct_value_hu": 8,
    "surface": "well-defined margin",
    "relationship": "no close relationship with surrounding organs",
    "features": [],
    "cavity": "within the parenchymal organ",
}
WITHOUT_END_S = 30.0
"""Seconds that a reply without end lasts: many more than a client that gives up takes, on a busy machine too."""
Reply = Callable[[BaseHTTPRequestHandler], None]


def sends(body: bytes, code: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def says(content: Any) -> Reply:
    text = content if isinstance(content, str) else json.dumps(content)
    return sends(json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode())


def sleeps(seconds: float) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        says(GOOD)(handler)

    return reply


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


class Server:
    """Gives one reply after the other and keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.keys.append(self.headers["Authorization"])
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                with suppress(OSError):  # the client left
                    outer.replies[len(outer.requests) - 1](self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def endpoint(self, timeout_s: float = 20.0) -> Endpoint:
        return Endpoint(self.url, "tiny-model", key="s3cret", timeout_s=timeout_s)

    def write(self, timeout_s: float = 20.0, **fixed: Any) -> LesionReport:
        return write_report("kidney cyst", self.endpoint(timeout_s), np.random.default_rng(0), fixed)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_a_good_answer(server: Server) -> None:
    server.replies = [says(GOOD)]
    report = server.write()
    assert report == LesionReport(lesion_type="kidney cyst", **GOOD)
    (request,) = server.requests
    assert (request["path"], request["model"]) == ("/v1/chat/completions", "tiny-model")
    assert server.keys == ["Bearer s3cret"]
    question = request["messages"][-1]["content"]
    assert all(word in question for word in ("kidney cyst", "hypodense fluid-like", "size_mm", "kidney_left"))


def test_a_fence_and_a_sentence_around_the_answer(server: Server) -> None:
    server.replies = [says(f"Here you are:\n```json\n{json.dumps(GOOD)}\n```\nGood luck!")]
    assert server.write().density == "hypodense fluid-like"


def test_what_the_answer_leaves_out_is_drawn_by_the_rules(server: Server) -> None:
    server.replies = [says({"density": "hypodense", "enhancement": None, "surface": ""})]
    report = server.write()
    assert report.density == "hypodense"
    assert stated_attributes(report).keys() >= {"size_mm", "ct_value_hu", "shape", "surface", "enhancement"}
    check_report(report)


def test_the_user_overrides_the_answer(server: Server) -> None:
    server.replies = [says(GOOD)]
    report = server.write(**read_values({"organ": "right kidney", "size_mm": "30"}))
    assert (report.organ, report.size_mm) == ("kidney_right", (30, 30, 30))
    assert "kidney_right" in server.requests[0]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("I cannot do that.", "no JSON object in it"),
        ("{'density': 'hypodense'}", "not JSON"),
        ({"density": "pink"}, "answer, density: 'pink'"),
        ({"shape": "round-like"}, "answer, shape: 'round-like'"),
        ({"surface": "clear serosal surface"}, "'clear serosal surface' in organ"),
        ({"density": "hyperdense", "enhancement": "enhanced CT"}, "allowed: 'hypodense fluid-like'"),
        ({"colour": "red"}, "key 'colour'"),
        ({"size_mm": [500, 1, 1]}, "answer, size_mm"),
    ],
)
def test_badly_once_then_well(server: Server, bad: Any, told: str) -> None:
    content = {**GOOD, **bad} if isinstance(bad, dict) else bad
    server.replies = [says(content), says(GOOD)]
    assert server.write() == LesionReport(lesion_type="kidney cyst", **GOOD)
    repair = server.requests[1]["messages"]
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert told in repair[-1]["content"]


def test_badly_twice(server: Server) -> None:
    server.replies = [says("no"), says({"density": "pink"})]
    with pytest.raises(RequestError, match="answered badly twice; answer, density: 'pink'") as caught:
        server.write()
    assert caught.value.line.startswith(server.url)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (sends(b"out of\nmemory", 500), "answered 500 Internal Server Error; it said 'out of memory'"),
        (sends(b"", 401), "answered 401 Unauthorized"),
        (sends(b"", 302, (("Location", "http://127.0.0.1:1/"),)), "answered 302 Found"),
        (sends(b"<html>"), "its answer is no chat completion; it said '<html>'"),
        (sends(b'{"choices": []}'), "its answer is no chat completion"),
        (sends(b"[" * 100_000), "its answer is no chat completion"),
        (sends(b'{"choices": [{"message": {"content": null}}]}'), "its answer holds no text"),
        (sends(b" " * (2**20 + 1)), "cannot be read (longer than 1 MiB)"),
        (sends(b"short", headers=(("Content-Length", "99"),)), "its answer is no chat completion"),
    ],
)
def test_servers_that_are_no_help(server: Server, reply: Reply, said: str) -> None:
    server.replies = [reply]
    with pytest.raises(RequestError) as caught:
        server.write()
    assert said in caught.value.line
    assert "s3cret" not in caught.value.line
    assert len(server.requests) == 1


def raw(*parts: bytes, each_s: float = 0.02) -> Reply:
    """Bytes of HTTP, one part after the other; the last one again and again."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        began = time.monotonic()
        for part in (*parts[:-1], *[parts[-1]] * 10_000):
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(each_s)
            if time.monotonic() - began > WITHOUT_END_S:
                return

    return reply


OK_LINE = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "status line": raw(b"H"),
    "header": raw(OK_LINE + b"X: ", b"a"),
    "headers": raw(OK_LINE, b"X: y\r\n"),
    "chunk size": raw(OK_LINE + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "body": raw(OK_LINE + b"Content-Length: 1000\r\n\r\n", b"x"),
    "continue": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 500, each_s=0),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_answers_byte_by_byte_is_given_up_in_time(server: Server, name: str) -> None:
    server.replies = [DRIPS[name]]
    began = time.monotonic()
    with pytest.raises(RequestError, match=r"no answer within 0\.4 s|got more than 100 headers"):
        server.write(timeout_s=0.4)
    assert time.monotonic() - began < WITHOUT_END_S / 2


@pytest.mark.parametrize("body", [(b"",), (b"s", b"a"), (b"ZZZ\r\n",)])
def test_a_refusal_is_said_though_its_body_does_not_end(server: Server, body: tuple[bytes, ...]) -> None:
    head = b"HTTP/1.1 500 Out of memory\r\nContent-Length: 1000\r\n\r\n"
    server.replies = [raw(head + body[0], *body[1:], *[b""] * (len(body) == 1))]
    with pytest.raises(RequestError, match="answered 500 Out of memory"):
        server.write(timeout_s=10)


def test_an_answer_without_end_takes_no_memory(server: Server) -> None:
    server.replies = [raw(OK_LINE + b"\r\n", b"x" * 2**18, each_s=0)]
    with pytest.raises(RequestError, match=r"cannot be read \(longer than 1 MiB\)"):
        server.write()


def test_an_absurd_answer_is_shown_shortened(server: Server) -> None:
    server.replies = [says({"organ": "A" * 800_000})] * 2
    with pytest.raises(RequestError, match=r"answered badly twice; .*AAAA") as caught:
        server.write()
    assert len(caught.value.line) < 1000


@pytest.mark.parametrize("timeout_s", [math.inf, math.nan, 0.0, -1.0, 1e300])
def test_a_timeout_is_a_number_of_seconds(timeout_s: float) -> None:
    with pytest.raises(RequestError, match=r"--timeout: .* s; above 0, at most 86400; choose another"):
        write_report("gallstone", Endpoint("http://127.0.0.1:1", "m", timeout_s=timeout_s), np.random.default_rng(0))


@pytest.mark.parametrize("key", ["s3cret\n", "s3cret\r", "s3crét"])
def test_a_key_that_no_header_holds_is_not_shown(key: str) -> None:
    with pytest.raises(RequestError, match="MEDSMITH_LLM_KEY: holds a character that no key has") as caught:
        write_report("gallstone", Endpoint("http://127.0.0.1:1", "m", key=key), np.random.default_rng(0))
    assert "s3cr" not in caught.value.line


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(RequestError) as caught:
        write_report("gallstone", Endpoint("http://me:s3cret@127.0.0.1:1/v1", "m"), np.random.default_rng(0))
    assert "s3cret" not in caught.value.line


@pytest.mark.parametrize("reply", [sleeps(WITHOUT_END_S), drips])
def test_late(server: Server, reply: Reply) -> None:
    server.replies = [reply]
    began = time.monotonic()
    with pytest.raises(RequestError, match=r"no answer within 0\.5 s"):
        server.write(timeout_s=0.5)
    assert time.monotonic() - began < WITHOUT_END_S / 2


def test_never() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        endpoint = Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}", "m", timeout_s=0.3)
        with pytest.raises(RequestError, match=r"no answer within 0\.3 s"):
            write_report("gallstone", endpoint, np.random.default_rng(0))


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}", "m")
        with pytest.raises(RequestError, match=r"cannot be reached .*refused"):
            write_report("gallstone", endpoint, np.random.default_rng(0))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/v1", "localhost:8000"])
def test_addresses_that_are_not_of_the_web(url: str) -> None:
    with pytest.raises(RequestError, match="addresses begin with http"):
        write_report("gallstone", Endpoint(url, "m"), np.random.default_rng(0))


def test_nobody_is_asked_for_what_the_rules_forbid(server: Server) -> None:
    with pytest.raises(RequestError, match="has no kidney cyst"):
        server.write(organ="liver")
    assert not server.requests


def test_the_key_is_not_shown() -> None:
    assert "s3cret" not in repr(Endpoint("http://host", "m", key="s3cret"))


def test_the_whole_address_may_be_given() -> None:
    assert Endpoint("http://host/v1/chat/completions/", "m").address == "http://host/v1/chat/completions"
