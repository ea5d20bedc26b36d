"""A vision tower, and a copy of it with fewer threads for images encoded beside text."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from astrollava.engine._sharing import Sharing
from astrollava.engine.vision import ImageEmbedding, Projector
from astrollava.errors import AstrollavaError

__all__ = ["Towers"]

_log = logging.getLogger("astrollava")


class Towers:
    """Encodes images; one thread at a time may ask.

    Parameters
    ----------
    projector : Projector
        Computes with all the threads it wants.
    copy : callable or None
        Loads the same file with as many threads as `sharing` gives beside text; called when that is
        first of use. None where there shall be no second one.
    sharing : Sharing
        Who computes when.
    """

    def __init__(
        self, projector: Projector, copy: Callable[[], Projector] | None, sharing: Sharing
    ) -> None:
        self._projector = projector
        self._copy = copy if sharing.beside else None
        self._sharing = sharing
        self._second: Projector | None = None

    def encode(self, rgb: npt.NDArray[np.uint8], key: str, *, busy: bool) -> ImageEmbedding:
        """Encode an image, beside the text being generated if the engine is `busy` with some."""
        if busy and self._second is not None:
            with self._sharing.encoding(beside=True):
                return self._second.encode(rgb, key)
        with self._sharing.encoding(beside=False):
            found = self._projector.encode(rgb, key)
        if busy and self._copy is not None:
            self._try_copy(self._copy, rgb, found)
        return found

    def _try_copy(
        self, copy: Callable[[], Projector], rgb: npt.NDArray[np.uint8], found: ImageEmbedding
    ) -> None:
        """Keep a copy from now on if it gives the same bits: an image must not depend on others."""
        self._copy = None
        try:
            second = copy()
        except AstrollavaError as error:
            _log.debug("no second tower: %s", error)
            return
        with self._sharing.encoding(beside=True):
            again = second.encode(rgb, found.key)
        if np.array_equal(again.values, found.values):
            self._second = second
        else:
            second.free()

    def free(self) -> None:
        """Release the weights of both."""
        if self._second is not None:
            self._second.free()
        self._projector.free()
