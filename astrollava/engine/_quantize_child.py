"""The process in which llama.cpp quantizes: ``SOURCE TARGET FTYPE REQUANTIZE THREADS``.

Writes a line ``[ 3/ 20]`` for each tensor it begins, and errors, to standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import threading

from astrollava.engine import _logs as logs
from astrollava.engine import runtime

__all__ = ["main"]

_TENSOR = re.compile(r"llama\.cpp: (\[ *\d+/ *\d+\])")
#: Bytes of a tensor's rows in memory at once at most; llama.cpp's own is 8 GiB.
_BUFFER = 1 << 30
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class _Reporter(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Pass on what tells how far it is."""
        text = record.getMessage()
        tensor = _TENSOR.match(text)
        if record.levelno >= logging.ERROR:
            # It may end the line of a tensor.
            print(text.rpartition("failed to quantize: ")[2], flush=True)
        elif tensor:
            print(tensor[1], flush=True)


def main(source: str, target: str, kind: str, requantize: str, threads: str) -> int:
    """Quantize and return llama.cpp's status: 0 on success."""
    # The parent is told of these, too, and ends this process.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _end_with_parent()
    lib = runtime.load().llama
    logger = logging.getLogger("astrollava")
    logger.addHandler(_Reporter())
    logger.setLevel(logging.DEBUG)
    params = lib.llama_model_quantize_default_params()
    params.ftype = int(kind)
    params.allow_requantize = requantize == "1"
    params.nthread = int(threads)
    params.max_buf_size = _BUFFER
    with logs.Captured():
        return int(
            lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
        )


def _end_with_parent() -> None:
    """End this process when the one that began it ends, however that happens."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Everywhere, and for a parent that was gone before: its end of the pipe is closed by then.
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    # Not by sys.stdin, whose lock would be held while the interpreter shuts down.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
