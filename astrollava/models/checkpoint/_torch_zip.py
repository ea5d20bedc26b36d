"""PyTorch's ``.bin`` files: a zip archive with a pickle that says what lies where.

Format: ``torch.save`` since PyTorch 1.6. Nothing in it is run, see `_pickle`.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Final

from astrollava.errors import InvalidCheckpoint

from ._pickle import PickleRefused, Rebuilt, load
from ._tensor import ITEM_SIZES, StoredTensor

__all__ = ["read_torch"]

#: Bytes of a pickle and of a zip directory: tens of times those of the largest shards.
_LONGEST: Final = 64 << 20
_LOCAL: Final = struct.Struct("<4s22xHH")

#: Not "load it with torch and save it": that would run what is refused here.
_SAFE: Final = (
    "Ask whoever made it for safetensors (save_pretrained writes them); loading a pickle elsewhere "
    "can run what it holds"
)


def read_torch(path: Path) -> dict[str, StoredTensor]:
    """Read which tensors a PyTorch file holds and where; no weights are read.

    Raises
    ------
    InvalidCheckpoint
        The file is damaged, of the time before PyTorch 1.6, or holds more than tensors.
    """
    try:
        with path.open("rb") as file:
            return _Archive(path, file).tensors()
    except OSError as error:
        raise InvalidCheckpoint(f"{path} cannot be read: {error}") from None
    # What zipfile raises on damaged archives; NotImplementedError for unknown compressions.
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise _wrong(path, f"is a damaged archive: {error}") from None


class _Archive:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = path.stat().st_size
        if file.read(4) != b"PK\x03\x04":
            raise _wrong(path, "is no PyTorch file of version 1.6 or later", _SAFE)
        if _directory_size(file, self._size) > _LONGEST:
            raise _wrong(path, f"has a directory of more than {_LONGEST} bytes")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if entry.filename in self._entries:
                    raise _wrong(path, f"has the entry {entry.filename!r:.80} twice")
                self._entries[entry.filename] = entry

    def tensors(self) -> dict[str, StoredTensor]:
        pickles = [name for name in self._entries if name.count("/") == 1]
        folders = [n.partition("/")[0] for n in pickles if n.endswith("/data.pkl")]
        if len(folders) != 1:
            raise _wrong(self._path, "holds no PyTorch state", "a file of torch.save")
        (folder,) = folders
        order = self._read(f"{folder}/byteorder") if f"{folder}/byteorder" in self._entries else b""
        if order.strip() not in (b"", b"little"):
            raise _wrong(self._path, "has its numbers in big-endian order")
        try:
            state = load(self._read(f"{folder}/data.pkl"))
        except PickleRefused as error:
            raise _wrong(self._path, f"holds a pickle that is not read: {error}", _SAFE) from None
        if not isinstance(state, dict):
            raise _wrong(self._path, "holds no dictionary of tensors")
        if nested := _nested(state):
            raise _wrong(
                self._path,
                f"holds its tensors in a dictionary inside, under {nested!r:.60}",
                "It is what a training program saved: let the program export the model alone",
            )
        return {
            name: self._tensor(folder, name, value)
            for name, value in state.items()
            if isinstance(name, str) and isinstance(value, Rebuilt)
        }

    def _tensor(self, folder: str, name: str, value: Rebuilt) -> StoredTensor:
        storage = value.storage
        item = ITEM_SIZES[storage.kind]
        begin, size = self._place(f"{folder}/data/{storage.key}")
        row_by_row = tuple(math.prod(value.shape[i + 1 :]) for i in range(len(value.shape)))
        along = [s for s, n in zip(value.strides, value.shape, strict=True) if n != 1]
        if along != [s for s, n in zip(row_by_row, value.shape, strict=True) if n != 1]:
            raise _wrong(
                self._path,
                f"the tensor {name!r:.80} is not stored row by row",
                "Save it again after .contiguous()",
            )
        if (value.offset + math.prod(value.shape)) * item > min(size, storage.count * item):
            raise _wrong(self._path, f"the tensor {name!r:.80} is larger than its storage")
        return StoredTensor(
            name, value.shape, storage.kind, self._path, begin + value.offset * item
        )

    def _read(self, name: str) -> bytes:
        begin, size = self._place(name)
        if size > _LONGEST:
            raise _wrong(self._path, f"the entry {name!r:.80} has {size} bytes")
        self._file.seek(begin)
        return self._file.read(size)

    def _place(self, name: str) -> tuple[int, int]:
        """Return where an entry's bytes begin and how many there are."""
        entry = self._entries.get(name)
        if entry is None:
            raise _wrong(self._path, f"lacks the entry {name!r:.80}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _wrong(self._path, f"the entry {name!r:.80} is compressed or encrypted")
        self._file.seek(entry.header_offset)
        signature, names, extra = _LOCAL.unpack(self._file.read(_LOCAL.size))
        begin = entry.header_offset + _LOCAL.size + names + extra
        if signature != b"PK\x03\x04" or begin + entry.file_size > self._size:
            raise _wrong(self._path, f"the entry {name!r:.80} lies beyond the file")
        return begin, entry.file_size


def _nested(state: dict[Any, Any]) -> str:
    """Return under which key all tensors lie, empty where some lie at the top."""
    if any(isinstance(value, Rebuilt) for value in state.values()):
        return ""
    for key, value in state.items():
        if isinstance(value, dict) and any(isinstance(v, Rebuilt) for v in value.values()):
            return str(key)
    return ""


def _directory_size(file: BinaryIO, size: int) -> int:
    """Return the bytes of the archive's directory, which `zipfile` would read whole."""
    start = max(0, size - 65557)  # The longest comment an archive may have, and what precedes it.
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise zipfile.BadZipFile("it is cut short")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory == 0xFFFFFFFF:
        # Larger than 4 GiB says the old field: the number is in the record before.
        file.seek(max(0, start + at - 20 - 56))
        record = file.read(56)
        if record[:4] != b"PK\x06\x06":
            raise zipfile.BadZipFile("its 64-bit record is missing")
        directory = int.from_bytes(record[40:48], "little")
    return directory


def _wrong(
    path: Path, problem: str, hint: str = "Download the checkpoint again"
) -> InvalidCheckpoint:
    return InvalidCheckpoint(f"{path.name}: {problem}", hint=hint)
