"""A headless Chromium, by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self
from websockets.sync.client import ClientConnection, connect

from .processes import PATIENCE, Keeper, poll

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

#: What is wrong with a page: violations of its policy, exceptions, failed requests.
_TROUBLE = ("Log.entryAdded", "Runtime.exceptionThrown")


class Chromium:
    """One page of a browser without a screen."""

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise FileNotFoundError("Chromium is not installed; `.ci/setup chromium`")
        self._program = program
        self._number = 0
        #: What the browser has complained of, as it says it.
        self.trouble: list[str] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            keeper = stack.enter_context(contextlib.closing(Keeper("pooled_db-chrome")))
            profile = keeper.directory / "profile"
            keeper.start(
                [
                    self._program,
                    "--headless=new",
                    "--no-sandbox",  # which root may not have
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--hide-scrollbars",
                    "--remote-debugging-port=0",
                    f"--user-data-dir={profile}",
                    "about:blank",
                ]
            )
            told = profile / "DevToolsActivePort"
            if not poll(lambda: told.exists() and told.read_text() != ""):
                raise TimeoutError(keeper.log())
            port = told.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in json.load(answer) if one["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            self._socket: ClientConnection = stack.enter_context(
                connect(url, max_size=None)
            )
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something; returns its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        for told in self._events():
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
        raise AssertionError  # unreachable: recv() raises before

    def _events(self) -> Iterator[dict[str, Any]]:
        while True:
            told = json.loads(self._socket.recv(timeout=PATIENCE))
            if told.get("method") in _TROUBLE:
                self.trouble.append(json.dumps(told["params"]))
            yield told

    def look_as(self, *, width: int, dark: bool, height: int = 900) -> None:
        """Be so wide, in a light or in a dark room."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def set_cookies(self, url: str, cookies: dict[str, str]) -> None:
        for name, value in cookies.items():
            self.call("Network.setCookie", url=url, name=name, value=value)

    def open(self, url: str) -> None:
        """Go to *url*, and wait until it has been loaded."""
        self.call("Page.navigate", url=url)
        assert self.wait_for(
            f"document.readyState === 'complete' && location.href !== 'about:blank' "
            f"&& location.href.startsWith({json.dumps(url)})"
        ), self.run("location.href")

    def run(self, script: str) -> Any:
        """Return what *script* evaluates to on the page."""
        told = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"])
        return told["result"].get("value")

    def wait_for(self, condition: str) -> bool:
        """Whether *condition* came true on the page in time."""
        return poll(lambda: bool(self.run(condition)))

    def press(self, key: str) -> None:
        """Press and release a key, such as ``Tab`` or ``Enter``."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what the page looks like, to its end if it is to be *whole*."""
        told = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(told["data"]))
