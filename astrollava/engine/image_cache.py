"""Encoded images that are kept: the last ones in memory and, where asked for, many on disk."""

from __future__ import annotations

import threading
from collections import OrderedDict

from astrollava.engine.disk_cache import DiskCache
from astrollava.engine.vision import ImageEmbedding

__all__ = ["ImageCache", "MemoryCache"]


class MemoryCache:
    """The images used last, as many as fit into so many bytes; threads may share it.

    Parameters
    ----------
    limit_bytes : int
        Bytes of values held at most; an image larger than that is not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._entries: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Bytes of values held."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, pixels: str) -> ImageEmbedding | None:
        """Return the image with these pixels (see `pixel_key`), or None."""
        with self._lock:
            found = self._entries.get(pixels)
            if found is not None:
                self._entries.move_to_end(pixels)
            return found

    def put(self, embedding: ImageEmbedding) -> None:
        """Keep an image; those used longest ago make room."""
        if embedding.values.nbytes > self.limit_bytes:
            return
        with self._lock:
            known = self._entries.pop(embedding.key, None)
            self._bytes += embedding.values.nbytes - (0 if known is None else known.values.nbytes)
            self._entries[embedding.key] = embedding
            while self._bytes > self.limit_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.values.nbytes

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


class ImageCache:
    """Memory and, where there is one, disk: what is found on disk is kept in memory too."""

    def __init__(self, memory: MemoryCache, disk: DiskCache | None = None) -> None:
        self.memory = memory
        self.disk = disk

    def get(self, pixels: str) -> ImageEmbedding | None:
        """Return the image with these pixels (see `pixel_key`), or None."""
        found = self.memory.get(pixels)
        if found is None and self.disk is not None:
            found = self.disk.get(pixels)
            if found is not None:
                self.memory.put(found)
        return found

    def put(self, embedding: ImageEmbedding) -> None:
        """Keep an image in both."""
        self.memory.put(embedding)
        if self.disk is not None:
            self.disk.put(embedding)
