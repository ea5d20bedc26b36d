"""A process that is killed at a step of its own: from inside, so that it cannot be over before."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

__all__ = ["die_at"]


def die_at(path: Path, lines: int) -> None:
    """Send this process SIGKILL as soon as a file has so many lines."""

    def watch() -> None:
        while not path.is_file() or path.read_bytes().count(b"\n") < lines:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
