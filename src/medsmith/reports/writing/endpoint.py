"""Chat completions over HTTP from an OpenAI-compatible endpoint."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, final

from medsmith.errors import RequestError

KEY_VARIABLE: Final = "MEDSMITH_LLM_KEY"
"""Environment variable with the API key of the endpoint."""
_PATH: Final = "/chat/completions"
_MAX_BYTES: Final = 2**20
_BLOCK: Final = 2**14
_SHOWN: Final = 120

Message = Mapping[str, str]


@final
@dataclass(frozen=True)
class Endpoint:
    """A language-model server.

    Attributes:
        url: base ("http://localhost:8000/v1") or the whole address of its chat completions.
        model: model name on the server.
        key: sent as a bearer token; never shown.
        timeout_s: timeout per response, seconds.
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
        RequestError: no response in time, or a response that is not a chat completion.
    """
    if not endpoint.address.startswith(("http://", "https://")):
        raise RequestError("--llm-url", f"'{endpoint.url}'", "addresses begin with http:// or https://")
    body = {"model": endpoint.model, "messages": list(messages), "temperature": endpoint.temperature}
    headers = {"Content-Type": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    try:
        request = urllib.request.Request(endpoint.address, json.dumps(body).encode(), headers)
        answer = _exchange(request, endpoint.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(error.read(_SHOWN).decode(errors="replace").split())
        raise _failure(endpoint, f"answered {error.code} {error.reason}", said) from error
    except TimeoutError as error:
        raise _failure(endpoint, f"no answer within {endpoint.timeout_s:g} s") from error
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        found = f"no answer within {endpoint.timeout_s:g} s" if late else f"cannot be reached ({error.reason})"
        raise _failure(endpoint, found) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _failure(endpoint, f"cannot be read ({error or type(error).__name__})") from error
    return _content(endpoint, answer)


def _exchange(request: urllib.request.Request, timeout_s: float) -> bytes:
    """The whole response. The timeout covers all of it, so that a slow stream cannot block."""
    deadline = time.monotonic() + timeout_s
    response: HTTPResponse
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s) as response:
        data = bytearray()
        while block := response.read1(_BLOCK):
            data += block
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(data) > _MAX_BYTES:
                raise ValueError("longer than 1 MiB")
    return bytes(data)


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
    return RequestError(endpoint.address, found, f"it said '{said}'" if said else "", cure)
