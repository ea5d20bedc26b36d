"""The ``astrollava`` command as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["UNWANTED", "command", "environment", "records", "run"]

# These change what the command shows, and differ from one developer to the next.
UNWANTED = {
    "ASTROLLAVA_DEBUG", "ASTROLLAVA_PICTURES", "COLORTERM", "COLUMNS", "FORCE_COLOR", "LC_TERMINAL",
    "LINES", "NO_COLOR", "TERM_PROGRAM", "TMUX", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
}  # fmt: skip


def environment(**changes: str) -> dict[str, str]:
    """Return the environment without what changes the looks of the command, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return {**kept, **changes}


def command(*arguments: str | Path) -> list[str]:
    """Return the command line for this interpreter."""
    return [sys.executable, "-m", "astrollava", *map(str, arguments)]


def run(
    *arguments: str | Path, stdin: bytes = b"", **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; `changes` go into its environment."""
    done = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        env=environment(**changes),
        timeout=120,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Parse standard output as one JSON object a line; anything else there is an error."""
    return [json.loads(line) for line in done.stdout.splitlines()]
