"""Vision towers at work for several threads: alone, beside text, or on several images at once."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from astrollava.engine._sharing import Sharing
from astrollava.engine.image_cache import MemoryCache
from astrollava.engine.vision import ImageEmbedding, Projector
from astrollava.errors import AstrollavaError, GenerationError

__all__ = ["Towers"]

_log = logging.getLogger("astrollava")

Rgb = npt.NDArray[np.uint8]


class _Ticket:
    """An image that somebody waits for."""

    __slots__ = ("error", "found", "key", "rgb")

    def __init__(self, rgb: Rgb, key: str) -> None:
        self.rgb = rgb
        self.key = key
        self.found: ImageEmbedding | None = None
        self.error: GenerationError | None = None

    @property
    def served(self) -> bool:
        """Whether there is a result or an error."""
        return self.found is not None or self.error is not None


class Towers:
    """Encodes images; whoever comes while others wait for their turn may be served with them.

    Parameters
    ----------
    projector : Projector
        Computes with all the threads it wants.
    copy : callable or None
        Loads the same file with as many threads as `sharing` gives beside text; called when that is
        first of use. None where there shall be no second one.
    sharing : Sharing
        Who computes when.
    exact : bool
        Whether an image must have the same bits alone and among others.

    Attributes
    ----------
    at_work : threading.Lock
        Held while a tower computes.
    """

    def __init__(
        self,
        projector: Projector,
        copy: Callable[[], Projector] | None,
        sharing: Sharing,
        *,
        exact: bool,
    ) -> None:
        self.at_work = threading.Lock()
        self._projector = projector
        # A tower of so few threads needs no copy to be encoded with beside text.
        fits = sharing.beside and projector.threads <= sharing.beside
        self._copy = copy if sharing.beside and not fits else None
        self._sharing = sharing
        self._second: Projector | None = projector if fits else None
        self._waiting: list[_Ticket] = []
        self._queue = threading.Lock()
        self._batch_tried = projector.batch == 1 or not exact
        self._batch = projector.batch

    @property
    def together(self) -> int:
        """How many images are encoded at once at most."""
        return self._batch

    def encode(
        self,
        rgb: Rgb,
        key: str,
        *,
        memory: MemoryCache,
        busy: Callable[[], bool],
        check_open: Callable[[], None],
    ) -> ImageEmbedding:
        """Encode an image, or wait for whoever encodes it together with others.

        Parameters
        ----------
        rgb, key
            Pixels of the projector's size, and their `pixel_key`.
        memory : MemoryCache
            Where it is put, and looked for when its turn comes.
        busy : callable
            Whether text is being generated, so that the tower should leave it cores.
        check_open : callable
            Raises where nothing may be computed any more; called when it is this image's turn.
        """
        ticket = _Ticket(rgb, key)
        with self._queue:
            self._waiting.append(ticket)
        try:
            with self.at_work:
                if not ticket.served:
                    check_open()
                    # Another thread may just have done it.
                    ticket.found = memory.get(key)
                if not ticket.served:
                    self._serve(self._gather(ticket), busy(), memory)
        finally:
            with self._queue:
                self._waiting = [other for other in self._waiting if other is not ticket]
        if ticket.error is not None:
            raise ticket.error
        assert ticket.found is not None
        return ticket.found

    def _gather(self, ticket: _Ticket) -> list[_Ticket]:
        """Return who is served with `ticket`: the next in the queue, no image twice."""
        with self._queue:
            chosen = {ticket.key: ticket}
            for other in self._waiting:
                if len(chosen) < self._batch and not other.served:
                    chosen.setdefault(other.key, other)
        return list(chosen.values())

    def _serve(self, tickets: list[_Ticket], busy: bool, memory: MemoryCache) -> None:
        if busy and self._second is not None:
            with self._sharing.encoding(beside=True):
                self._run(self._second, tickets)
        else:
            with self._sharing.encoding(beside=False):
                self._run(self._projector, tickets)
        for ticket in tickets:
            if ticket.found is not None:
                memory.put(ticket.found)
        if busy and self._copy is not None and tickets[0].found is not None:
            self._try_copy(self._copy, tickets[0].rgb, tickets[0].found)

    def _run(self, projector: Projector, tickets: list[_Ticket]) -> None:
        together: list[ImageEmbedding] = []
        if len(tickets) > 1:
            try:
                together = projector.encode_together(
                    [ticket.rgb for ticket in tickets], [ticket.key for ticket in tickets]
                )
            except GenerationError as error:
                # Whose fault it is shows when each is encoded alone.
                _log.debug("images are not encoded at once: %s", error)
                self._batch = 1
            if together and self._batch_tried:
                for ticket, found in zip(tickets, together, strict=True):
                    ticket.found = found
                return
        for ticket in tickets:
            try:
                ticket.found = projector.encode(ticket.rgb, ticket.key)
            except GenerationError as error:
                ticket.error = error
        if together:
            self._batch_tried = True
            if not _same([ticket.found for ticket in tickets], together):
                _log.debug("images encoded at once are not those encoded alone: from now on alone")
                self._batch = 1

    def _try_copy(self, copy: Callable[[], Projector], rgb: Rgb, found: ImageEmbedding) -> None:
        """Keep a copy from now on if it gives the same bits: an image must not depend on others."""
        self._copy = None
        with contextlib.ExitStack() as undo:
            try:
                second = copy()
                undo.callback(second.free)
                with self._sharing.encoding(beside=True):
                    again = second.encode(rgb, found.key)
            except AstrollavaError as error:
                _log.debug("no second tower: %s", error)
                return
            if _same([found], [again]):
                self._second = second
                undo.pop_all()

    def free(self) -> None:
        """Release the weights of both."""
        if self._second is not None and self._second is not self._projector:
            self._second.free()
        self._projector.free()


def _same(alone: Sequence[ImageEmbedding | None], other: Sequence[ImageEmbedding]) -> bool:
    return all(
        a is not None and np.array_equal(a.values, b.values)
        for a, b in zip(alone, other, strict=True)
    )
