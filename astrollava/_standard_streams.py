"""Standard streams that a command can count on."""

from __future__ import annotations

import os
import sys

__all__ = ["forget_no_width", "open_closed_streams"]


def open_closed_streams() -> None:
    """Open on the null device each standard stream that the process was started without.

    Python has None in its place, and the next file that is opened gets its number: what llama.cpp
    prints to standard error would end in the middle of a result.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def forget_no_width() -> None:
    """Let ``COLUMNS=0``, as from a terminal that has no size yet, stand for nothing.

    `shutil.get_terminal_size` takes it so; what rich lays out for no column would be empty.
    """
    if os.environ.get("COLUMNS", "").strip() == "0":
        del os.environ["COLUMNS"]
