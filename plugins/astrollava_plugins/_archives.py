"""Archives that services answer with: unpacked in memory, to a bound, their names never paths."""

from __future__ import annotations

import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from typing import IO

from astrollava.errors import CutoutTooLarge, FetchError, UnreadableAnswer
from astrollava.hooks.fetching import http

__all__ = ["ARCHIVES", "contents", "untar", "unzip"]

#: What services call archives, and FITS files that may be ones.
ARCHIVES = (
    "application/zip", "application/x-zip-compressed", "application/x-tar", "application/tar",
    "application/x-gzip", "application/gzip", *http.FITS,
)  # fmt: skip

_MOST_FILES = 1000
_FITS_NAME = re.compile(r"\.(fits?|fts|ftz)(\.gz)?$", re.IGNORECASE)

# What decoders and parsers of the standard library raise besides their own errors.
_DAMAGE = (
    OSError, EOFError, ValueError, TypeError, LookupError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip


def contents(data: bytes, *, max_bytes: int, what: str) -> dict[str, bytes]:
    """Unpack an archive of any kind; what is none comes back as it is, under no name.

    The kind is told from how it begins, not from a name or a header. Of an archive only files with
    names of FITS are given. Parameters and errors are those of `unzip`.
    """
    if data.startswith(b"PK\x03\x04"):
        files = unzip(data, max_bytes=max_bytes, what=what)
    elif _is_tar(data):
        files = untar(data, max_bytes=max_bytes, what=what)
    else:
        return {"": data}
    return {name: content for name, content in files.items() if _FITS_NAME.search(name)}


def _is_tar(data: bytes) -> bool:
    head = data[:512]
    if data.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(31).decompress(data[: 1 << 16], 512)
        except zlib.error:
            return False
    return head[257:262] == b"ustar"


def unzip(data: bytes, *, max_bytes: int, what: str) -> dict[str, bytes]:
    """Unpack a zip archive.

    Parameters
    ----------
    data : bytes
        The archive.
    max_bytes : int
        The most that its files may unpack to, together.
    what : str
        The service, for errors.

    Returns
    -------
    dict
        Name -> content. A name is a label, not a path.

    Raises
    ------
    CutoutTooLarge
        If the files unpack to more.
    UnreadableAnswer
        If this is no archive, or a damaged one.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check(len(members), sum(member.file_size for member in members), max_bytes, what)
            for member in members:
                # `read` never gives more than the size that the directory states.
                found[member.filename] = archive.read(member)
    except FetchError:
        raise
    except (zipfile.BadZipFile, RuntimeError, *_DAMAGE) as error:
        raise _damaged(what, error) from error
    return found


def untar(data: bytes, *, max_bytes: int, what: str) -> dict[str, bytes]:
    """Unpack a tar archive, compressed or not.

    Parameters, result and errors are those of `unzip`. Links, devices and folders are left out.
    """
    found: dict[str, bytes] = {}
    total = 0
    try:
        # As a stream: an archive opened otherwise is unpacked to its end before the first look.
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|*") as archive:
            for member in archive:
                total += max(0, member.size)
                _check(len(found) + 1, total, max_bytes, what)
                if not member.isreg():
                    continue
                content: IO[bytes] | None = archive.extractfile(member)
                if content is not None:
                    found[member.name] = content.read(max_bytes)
    except FetchError:
        raise
    except (tarfile.TarError, *_DAMAGE) as error:
        raise _damaged(what, error) from error
    return found


def _check(files: int, size: int, max_bytes: int, what: str) -> None:
    if files > _MOST_FILES or size > max_bytes:
        raise CutoutTooLarge(
            f"{what} sent an archive that holds {files:,} files or more, of {size:,} bytes",
            expected=f"{max_bytes:,} bytes at most",
            hint="Ask for a smaller size",
        )


def _damaged(what: str, error: Exception) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"{what} sent a damaged archive ({type(error).__name__}: {error})",
        hint="Try again; if it stays, the service is at fault",
    )
