"""Storing a model's numbers in fewer bits, by llama.cpp.

llama.cpp's quantizer cannot be stopped, and ends the process on a file it does not expect. So it
runs in a process of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from astrollava.engine import runtime
from astrollava.errors import InvalidRequest, ModelError

__all__ = ["PROJECTOR_TYPES", "TYPES", "check_type", "quantize"]

#: Storage type -> llama.cpp's number for it (``enum llama_ftype``). Those that need an importance
#: matrix are not here.
TYPES: Final[Mapping[str, int]] = MappingProxyType({
    "f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q6_k": 18, "q5_k_m": 17, "q5_k_s": 16, "q5_1": 9,
    "q5_0": 8, "q4_k_m": 15, "q4_k_s": 14, "iq4_nl": 25, "iq4_xs": 30, "q4_1": 3, "q4_0": 2,
    "q3_k_l": 13, "q3_k_m": 12, "q3_k_s": 11, "q2_k": 10,
})  # fmt: skip

#: Those a projector (mmproj) can be stored in: the others ask llama.cpp for heads it has not read,
#: and that ends the process.
PROJECTOR_TYPES: Final = tuple(name for name in TYPES if name not in {"q2_k", "iq4_nl", "iq4_xs"})

_TENSOR: Final = re.compile(r"\[ *(\d+)/ *(\d+)\]")


def check_type(name: str, *, projector: bool = False) -> str:
    """Return the name of a storage type in lower case.

    Raises
    ------
    InvalidRequest
        It is not in `TYPES`, or for a projector not in `PROJECTOR_TYPES`.
    """
    known = PROJECTOR_TYPES if projector else tuple(TYPES)
    if name.lower() not in known:
        near = get_close_matches(name.lower(), known, n=1)
        raise InvalidRequest(
            f"{name!r:.40} is no storage type" + (" for a projector" if projector else ""),
            expected=f"one of {', '.join(known)}",
            hint=f"Did you mean {near[0]!r}?" if near else "",
        )
    return name.lower()


def quantize(
    source: Path,
    target: Path,
    kind: str,
    *,
    requantize: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> bool:
    """Write a GGUF file with its matrices in another storage type.

    Parameters
    ----------
    source : Path
        A language model or a projector (mmproj), its header already checked.
    target : Path
        The file to write; one that is there is replaced. It appears whole or not at all.
    kind : str
        A member of `TYPES`. Matrices that matter most get more bits than the name says, vectors
        stay in f32, and matrices whose rows do not fill its blocks get the next type that fits.
    requantize : bool
        Also take apart what is quantized already, which loses more than quantizing once.
    threads : int, optional
        By default one a physical core.
    progress : callable, optional
        Told the tensors begun and the tensors in all.
    cancel : threading.Event, optional
        Set from another thread, it ends the work.

    Returns
    -------
    bool
        False where it was cancelled.

    Raises
    ------
    InvalidRequest
        An unknown type, or `target` is `source`.
    EngineUnavailable
        llama-cpp-python is missing or of another version.
    ModelError
        llama.cpp refused the file, or died of it.
    """
    number = TYPES[check_type(kind)]
    if target.exists() and source.samefile(target):
        raise InvalidRequest(f"{source} would be overwritten while it is read")
    runtime.load()
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    threads = threads or runtime.physical_cores()
    command = [
        *(sys.executable, "-P", "-m", "astrollava.engine._quantize_child"),
        *(os.fspath(source), os.fspath(part), str(number), str(int(requantize)), str(threads)),
    ]
    try:
        last = _run(command, progress, cancel)
        if last is None:
            return False
        if last:
            raise ModelError(
                f"llama.cpp could not store {source} as {kind} ({last})",
                hint="Quantize from an f16 or f32 file" if "requantizing" in last else "",
            )
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return True


def _run(
    command: list[str],
    progress: Callable[[int, int], None] | None,
    cancel: threading.Event | None,
) -> str | None:
    """Run the quantizer: empty on success, None where cancelled, else what it said last."""
    tail: deque[str] = deque(maxlen=4)
    with subprocess.Popen(  # noqa: S603 - our own module, and no shell
        command,
        # Nothing is written into it: its end tells the child that this process is no more.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What an assertion of ggml prints goes past all logs.
        stderr=subprocess.STDOUT,
        env=_environment(),
        encoding="utf-8",
        errors="replace",
    ) as child:
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(child, cancel, done), daemon=True)
        watcher.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                begun = _TENSOR.match(line)
                if not begun:
                    tail.append(line.strip()[:300])
                elif progress is not None:
                    progress(int(begun[1]), int(begun[2]))
            status = child.wait()
        finally:
            # Also where Ctrl-C or `progress` raises: nothing is to go on unseen.
            child.kill()
            done.set()
    if cancel is not None and cancel.is_set() and status != 0:
        return None
    if status == 0:
        return ""
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return " / ".join([*filter(None, tail), name])


def _watch(
    child: subprocess.Popen[str], cancel: threading.Event | None, done: threading.Event
) -> None:
    while cancel is not None and not done.wait(0.05):
        if cancel.is_set():
            child.kill()
            return


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Without it ggml would start a debugger on itself before it dies.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GGML_NO_BACKTRACE": "1"}
