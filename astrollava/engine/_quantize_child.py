"""The process in which llama.cpp quantizes: ``SOURCE TARGET FTYPE REQUANTIZE THREADS``.

Writes a line ``[ 3/ 20]`` for each tensor it begins, and errors, to standard output.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import signal
import sys

from astrollava.engine import _logs as logs
from astrollava.engine import runtime

__all__ = ["main"]

_TENSOR = re.compile(r"llama\.cpp: (\[ *\d+/ *\d+\])")
#: Bytes of a tensor's rows in memory at once at most; llama.cpp's own is 8 GiB.
_BUFFER = 1 << 30


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
    # The parent is told of Ctrl-C, too, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
