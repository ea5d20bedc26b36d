"""A real headless Chromium, driven through its own protocol over two pipes: no driver, no port.

The protocol is that of https://chromedevtools.github.io/devtools-protocol/: JSON messages that end
with a zero byte, read by the browser from file descriptor 3 and written to 4.
"""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

__all__ = ["Browser", "find_browser"]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe",
)  # fmt: skip

# Puts the pipes where the browser looks. A function between fork and exec would do, but warns in a
# process with threads. Copies first: either pipe may have the other's place.
_START = """
import os, sys
first, second = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2]))
if second == 3: second = os.dup(second)
os.dup2(first, 3), os.dup2(second, 4)
os.set_inheritable(3, True), os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """Return the path of a Chromium, or skip the test."""
    browser = next(filter(_starts, filter(None, map(shutil.which, _NAMES))), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is on the PATH and starts")
    return browser


@functools.cache
def _starts(browser: str) -> bool:
    """Say whether a browser is one: on some systems only a note is there, how to install it."""
    try:
        return not subprocess.run(
            [browser, "--version"], capture_output=True, timeout=60
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


class Browser:
    """One page in a browser with a profile of its own."""

    def __init__(self, folder: Path) -> None:
        executable = find_browser()
        self._number = 0
        self._buffer = b""
        out_read, self._out = os.pipe()
        self._in, in_write = os.pipe()

        profile = f"--user-data-dir={folder / 'profile'}"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-SEc",
                _START,
                f"{out_read}",
                f"{in_write}",
                executable,
                *_FLAGS,
                profile,
            ],
            pass_fds=(out_read, in_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(out_read)
        os.close(in_write)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder / "downloads")
        )
        self._session = attached["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(time.monotonic() + 60)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, page: Path) -> None:
        """Open a file and wait until its scripts have run."""
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + 60
        ready = f"location.href === {json.dumps(page.as_uri())} && document.readyState"
        while self.run(ready) != "complete":
            assert time.monotonic() < deadline, f"{page} did not load"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, and return its value."""
        given = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            piece = os.read(self._in, 65536) if ready else b""
            assert piece, "the browser did not answer"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(timeout=30)
        os.close(self._out)
        os.close(self._in)
