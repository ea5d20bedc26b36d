"""What the machine can do at best, roughly: bytes and operations a second; memory of processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil

__all__ = ["cores", "memory_bandwidth", "operations", "resident"]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bandwidth() -> float:
    """Bytes a second that all cores together read from memory."""
    # Far more than any cache holds.
    parts = [np.ones(2**26, np.float32) for _ in range(cores())]
    best = min(_together([lambda part=part: part.view(np.int64).max() for part in parts])
               for _ in range(4))  # fmt: skip
    return sum(part.nbytes for part in parts) / best


def operations() -> float:
    """Multiplications and additions a second of 32-bit floats, all cores together."""
    side = 1536
    a, b = (np.random.default_rng(n).random((side, side), dtype=np.float32) for n in (0, 1))
    a @ b
    times = []
    for _ in range(4):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times)


def resident(pid: int | None = None) -> int:
    """Bytes of memory a process holds."""
    return int(psutil.Process(pid).memory_info().rss)


def _together(tasks: list[Callable[[], object]]) -> float:
    """Seconds until all tasks, a thread each, are done."""
    threads = [threading.Thread(target=task) for task in tasks]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
