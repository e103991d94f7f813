"""Chat completions over HTTP from an OpenAI-compatible endpoint."""

import json
import queue
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, final

from medsmith.errors import RequestError

KEY_VARIABLE: Final = "MEDSMITH_LLM_KEY"
"""Environment variable with the API key of the endpoint."""
_PATH: Final = "/chat/completions"
_MAX_BYTES: Final = 2**20
_BLOCK: Final = 2**14
_SHOWN: Final = 120
_USER: Final = re.compile(r"//[^/@]*@")
"""Name and password in an address."""
_LONGEST_S: Final = 86_400.0
_GRACE_S: Final = 1.0
"""Time for the first words of a refusal."""

Message = Mapping[str, str]


@final
@dataclass(frozen=True)
class Endpoint:
    """A language-model server.

    Attributes:
        url: base ("http://localhost:8000/v1") or the whole address of its chat completions.
        model: model name on the server.
        key: sent as a bearer token; never shown.
        timeout_s: time for a whole response, seconds; at most a day.
        temperature: sampling temperature.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    temperature: float = 0.7

    @property
    def address(self) -> str:
        """URL of the chat completions."""
        base = self.url.rstrip("/")
        return base if base.endswith(_PATH) else base + _PATH


@final
class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would send the key to another server."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follows no redirect."""
        del req, fp, code, msg, headers, newurl


def ask(endpoint: Endpoint, messages: Sequence[Message]) -> str:
    """Sends a conversation and returns the response text.

    Args:
        endpoint: server and model.
        messages: each with "role" and "content".

    Raises:
        RequestError: no response in time, a response that is not a chat completion or longer than 1 MiB, or a key or
            timeout that cannot be used.
    """
    _check(endpoint)
    body = {"model": endpoint.model, "messages": list(messages), "temperature": endpoint.temperature}
    headers = {"Content-Type": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    try:
        request = urllib.request.Request(endpoint.address, json.dumps(body).encode(), headers)
        answer = _within(endpoint.timeout_s, lambda sockets: _exchange(request, endpoint.timeout_s, sockets))
    except _RefusedError as refused:
        raise _failure(endpoint, refused.found, refused.said) from None
    except TimeoutError as error:
        raise _failure(endpoint, f"no answer within {endpoint.timeout_s:g} s") from error
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        found = f"no answer within {endpoint.timeout_s:g} s" if late else f"cannot be reached ({error.reason})"
        raise _failure(endpoint, found) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _failure(endpoint, f"cannot be read ({error or type(error).__name__})") from error
    return _content(endpoint, answer)


def _check(endpoint: Endpoint) -> None:
    if not endpoint.address.startswith(("http://", "https://")):
        raise RequestError("--llm-url", f"'{endpoint.url}'", "addresses begin with http:// or https://")
    if not 0 < endpoint.timeout_s <= _LONGEST_S:
        raise RequestError(
            "--timeout", f"{endpoint.timeout_s:g} s", f"above 0, at most {_LONGEST_S:g}", "choose another"
        )
    if endpoint.key and not (endpoint.key.isascii() and endpoint.key.isprintable()):
        cure = "set it anew, without a line break"
        raise RequestError(KEY_VARIABLE, "holds a character that no key has", "printable ASCII", cure)


@final
class _RefusedError(Exception):
    """A status that is no success.

    Args:
        found: the status.
        said: the beginning of the body.
    """

    def __init__(self, found: str, said: str) -> None:
        self.found, self.said = found, said
        super().__init__(found)


def _within(seconds: float, talk: Callable[[list[socket.socket]], bytes]) -> bytes:
    """What a conversation returns, if it ends in time.

    The timeout of a socket starts anew with every byte, and looking up a name has none: so the conversation runs in a
    thread of its own, and its sockets are shut at the end, which ends it too.

    Args:
        seconds: after which it is given up.
        talk: the conversation; it adds the sockets that it opens to the list.

    Raises:
        TimeoutError: it does not end in time.
    """
    sockets: list[socket.socket] = []
    ended: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put(talk(sockets))
        except Exception as error:
            ended.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    finally:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
    if isinstance(result, Exception):
        raise result
    return result


def _exchange(request: urllib.request.Request, timeout_s: float, sockets: list[socket.socket]) -> bytes:
    """The whole response, 1 MiB at most."""
    opener = urllib.request.build_opener(_NoRedirect, _Http(sockets), _Https(sockets))
    response: HTTPResponse
    try:
        with opener.open(request, timeout=timeout_s) as response:
            data = bytearray()
            while block := response.read1(_BLOCK):
                data += block
                if len(data) > _MAX_BYTES:
                    raise ValueError("longer than 1 MiB")
    except urllib.error.HTTPError as error:
        raise _RefusedError(f"answered {error.code} {error.reason}", _beginning(error, sockets)) from None
    return bytes(data)


def _beginning(error: urllib.error.HTTPError, sockets: list[socket.socket]) -> str:
    """The first words of a body, as far as they come at once."""
    with error, suppress(OSError, HTTPException, ValueError, AttributeError):
        sockets[-1].settimeout(_GRACE_S)
        return " ".join(error.fp.read1(_SHOWN).decode(errors="replace").split())  # type: ignore[attr-defined]
    return ""


@final
class _Http(urllib.request.HTTPHandler):
    """Opens connections whose sockets are known to the caller."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Opens an address."""
        return self.do_open(partial(_connection, HTTPConnection, self._sockets), req)


@final
class _Https(urllib.request.HTTPSHandler):
    """The same with TLS."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Opens an address."""
        return self.do_open(partial(_connection, HTTPSConnection, self._sockets), req)


def _connection(
    kind: type[HTTPConnection], sockets: list[socket.socket], host: str, *, timeout: float
) -> HTTPConnection:
    connection = kind(host, timeout=timeout)
    connect = connection.connect

    def connect_and_tell() -> None:
        connect()
        sockets.append(connection.sock)

    connection.connect = connect_and_tell  # type: ignore[method-assign]
    return connection


def _content(endpoint: Endpoint, answer: bytes) -> str:
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        said = " ".join(answer[:_SHOWN].decode(errors="replace").split())
        raise _failure(endpoint, "its answer is no chat completion", said) from error
    if not isinstance(content, str):
        raise _failure(endpoint, "its answer holds no text")
    return content


def _failure(endpoint: Endpoint, found: str, said: str = "") -> RequestError:
    cure = "check --llm-url, --llm-model and the key, or use: medsmith report sample"
    return RequestError(_USER.sub("//", endpoint.address), found, f"it said '{said}'" if said else "", cure)
