"""Chromium without a window, told by its DevTools protocol over two pipes what to do (no port, no client library).

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ends with a NUL; what we write goes to the
browser's descriptor 3, what it says comes from its 4 (``--remote-debugging-pipe``).
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests import environment

SECONDS = 30

# The descriptors must be 3 and 4, and Popen passes them on under the numbers that they have.
_START = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]
for number, each in zip((3, 4), ours):
    os.dup2(each, number)
    os.close(each)
os.execv(sys.argv[3], sys.argv[3:])
"""


def program() -> str | None:
    """The browser, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a browser with a profile of its own, as a context manager.

    requests: addresses that the page asked for. complaints: what it wrote to the console, and what it threw.
    proxy: ``host:port`` that all that the browser asks for goes to, loopback included.
    """

    def __init__(self, directory: Path, proxy: str) -> None:
        self._directory = directory
        self._proxy = proxy
        self._last = 0
        self._rest = b""
        self._target = ""
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        found = program()
        assert found
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        words = [
            "--headless",
            "--no-sandbox",  # root in a container has no other way
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            f"--proxy-server={self._proxy}",
            "--proxy-bypass-list=<-loopback>",
            f"--user-data-dir={self._directory / 'profile'}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs_in), str(theirs_out), found, *words],
            pass_fds=(theirs_in, theirs_out),
            env=environment.clean_environment(PATH=os.environ["PATH"], HOME=str(self._directory)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.fresh()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._session = ""
            self.call("Browser.close")
            self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)
            os.close(self._out)

    def fresh(self) -> None:
        """A page of its own, with nothing set."""
        old, self._session = self._session, ""
        if old:
            self.call("Target.closeTarget", targetId=self._target)
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.requests, self.complaints, self._events = [], [], []
        self.size(1200, 900)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; its result. Raises AssertionError for a refusal."""
        self._last += 1
        number = self._last
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        end = time.monotonic() + SECONDS
        while True:
            told = self._receive(end)
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                return dict(told["result"])

    def wait_for(self, method: str) -> None:
        """Until the page says so, if it has not since it was last asked to load something."""
        end = time.monotonic() + SECONDS
        while not any(each.get("method") == method for each in self._events):
            self._receive(end)

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], max(0, end - time.monotonic()))[0], "the browser says nothing"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser is gone"
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        told: dict[str, Any] = json.loads(message)
        self._note(told)
        return told

    def _note(self, told: dict[str, Any]) -> None:
        if "method" not in told:
            return
        self._events.append(told)
        about = told.get("params", {})
        match told["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(about)[:500])
            case "Log.entryAdded":
                self.complaints.append(about["entry"]["text"])

    def listen(self, seconds: float) -> None:
        """Hear what it has to say for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.call("Page.getFrameTree")
            time.sleep(0.01)

    def open(self, path: Path) -> None:
        """Load a file, to its end."""
        self._events = []
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise's, when it is there."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def key(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key, by its name and its Windows code."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    def enter(self) -> None:
        self.key("Enter", 13, "\r")

    def tab(self) -> None:
        self.key("Tab", 9)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name: str, media: str = "") -> None:
        """light or dark; media: print."""
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": name}])


class Proxy:
    """Takes connections, notes the first of what is said, and answers nothing."""

    def __init__(self) -> None:
        self.saw: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            with taken:
                taken.settimeout(1)
                try:
                    self.saw.append(taken.recv(1000))
                except OSError as error:
                    self.saw.append(str(error).encode())

    def close(self) -> None:
        # close() alone does not wake accept().
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
