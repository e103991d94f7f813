"""Drives chromium through chromedriver's HTTP protocol (W3C WebDriver), with the standard library alone."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Arguments for WebGL 2 without a GPU."""
_LOGS = {"browser": "ALL", "performance": "ALL"}
_KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Tab": "\ue004"}
_KEYS |= {"Enter": "\ue007", "Escape": "\ue00c", "Backspace": "\ue003"}


@final
class Browser:
    """One browser window."""

    def __init__(self, address: str, downloads: Path) -> None:
        self._address = address
        self.downloads = downloads

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path) -> None:
        self.request("POST", "/url", {"url": page.resolve().as_uri()})
        # Chromium drops keys that are pressed before the first picture of a page is drawn.
        self.run("requestAnimationFrame(() => requestAnimationFrame(() => (window.painted = true)))")
        self.wait("window.painted")

    def run(self, script: str) -> Any:
        return self.request("POST", "/execute/sync", {"script": script, "args": []})

    def press(self, *keys: str) -> None:
        """Presses keys one after another; a name of _KEYS or a character each."""
        actions = [{"type": kind, "value": _KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self.request("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.03)

    def screenshot(self) -> bytes:
        return base64.b64decode(self.request("GET", "/screenshot"))

    def picture(self, path: Path) -> None:
        path.write_bytes(self.screenshot())

    def log(self) -> list[dict[str, Any]]:
        """What the page has reported to the console since the last call."""
        return list(self.request("POST", "/se/log", {"type": "browser"}))

    def addresses(self) -> set[str]:
        """Every address that the page has asked for since the last call."""
        events = [json.loads(e["message"])["message"] for e in self.request("POST", "/se/log", {"type": "performance"})]
        return {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}


@contextmanager
def open_browser(folder: Path, size: tuple[int, int] = (1440, 900), arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """A headless browser with a new profile in ``folder``; ends when the block does."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Browser(f"http://127.0.0.1:{port}", folder)
    try:
        _until_ready(server)
        (folder / "downloads").mkdir(parents=True)
        given = [*_ARGUMENTS, *arguments, f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}"]
        options = {
            "binary": CHROMIUM,
            "args": given,
            "prefs": {"download.default_directory": str(folder / "downloads")},
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": _LOGS}
        session = server.request("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        address = f"http://127.0.0.1:{port}/session/{session}"
        try:
            yield Browser(address, folder / "downloads")
        finally:
            Browser(address, folder).request("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(20)


def _until_ready(server: Browser) -> None:
    for _ in range(200):
        try:
            server.request("GET", "/status")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError("chromedriver")
