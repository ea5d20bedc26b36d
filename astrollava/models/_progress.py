"""Saying how far a long step is: to whoever asked, or as a bar on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Progress", "reporting"]

#: Called with what is done, the bytes done so far and the bytes in all.
Progress = Callable[[str, int, int], None]


@contextlib.contextmanager
def reporting(progress: Progress | None) -> Iterator[Progress]:
    """Yield `progress`, or a bar on standard error where there is none and someone is looking.

    Parameters
    ----------
    progress : callable or None
        Called with what is done, the bytes done and the bytes in all. The bar in its place is
        huggingface_hub's, with what turns it off: ``HF_HUB_DISABLE_PROGRESS_BARS=1``.
    """
    if progress is not None:
        yield progress
        return
    with contextlib.closing(_Bars()) as bars:
        yield bars


class _Bars:
    """One bar a step, drawn by tqdm, which knows terminals and notebooks."""

    def __init__(self) -> None:
        self._step = ""
        self._bar: Any = None

    def __call__(self, step: str, done: int, total: int) -> None:
        if step != self._step or self._bar is None:
            from huggingface_hub.utils import tqdm

            self.close()
            self._step = step
            self._bar = tqdm(
                desc=step, total=total, unit="B", unit_scale=True, disable=None, leave=False
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
