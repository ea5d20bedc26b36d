"""Where this llama.cpp puts the class token of a CLIP tower: measured, once a version.

LLaVA-1.5's tower reads a class token (CLS) before the patches. Since its graph refactor of 2025
llama.cpp appends it behind them, while the rows of positions and the rows given out are still
counted as if it came first (llama.cpp issue 25814): each patch gets its neighbour's position, patch
0 is lost and the class token is read as if it were a patch. A pair of files of a few KB shows which
of the two a build does, whatever its version number says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from astrollava._cache import VARIABLE, cache_folder, whole_file
from astrollava.engine import _logs as logs
from astrollava.engine import _probe_files as probe
from astrollava.engine import runtime
from astrollava.engine._native import TextModel
from astrollava.engine.vision import Projector
from astrollava.errors import ModelError

__all__ = ["ClassTokenOrder", "class_token_order", "judge", "measure", "remembered_order"]

#: Before the patches, as it should be; after them; or something this package does not know.
ClassTokenOrder: TypeAlias = Literal["first", "last", "unknown"]

_log = logging.getLogger("astrollava")
_lock = threading.Lock()
_known: dict[str, ClassTokenOrder] = {}


def class_token_order() -> ClassTokenOrder:
    """Return where this build of llama.cpp puts the class token under the ``mlp`` projector.

    The first call for a build measures it; the answer is kept in the cache folder under the
    binding's version and the library's size and time of change.

    Returns
    -------
    {"first", "last", "unknown"}
        ``"first"`` where rows come out as in the original: such a build needs no help. ``"last"``
        for the order of issue 25814. ``"unknown"`` where neither fits, with a warning in the log.

    Raises
    ------
    EngineUnavailable
        llama-cpp-python is missing, broken or of another version.
    ModelError
        Neither the temporary folder nor the cache folder can be written.
    """
    lib = runtime.load()
    key = _build_key(lib)
    with _lock:
        order = _known.get(key) or _recall(key)
        if order is None:
            order = measure(lib)
            _remember(key, order, lib.version)
            _log.info("llama.cpp %s puts the class token %s", lib.version, order)
        _known[key] = order
    if order == "unknown":
        _log.warning(
            "this build of llama.cpp orders the class token in a way astrollava does not know:"
            " what it makes of images may differ from the original LLaVA-1.5"
        )
    return order


def remembered_order() -> ClassTokenOrder | None:
    """Return what is known of this build of llama.cpp without measuring, None for nothing.

    Raises
    ------
    EngineUnavailable
        llama-cpp-python is missing, broken or of another version.
    """
    key = _build_key(runtime.load())
    return _known.get(key) or _recall(key)


def measure(lib: runtime.Bindings) -> ClassTokenOrder:
    """Encode a picture whose patches tell themselves apart, and look at what comes out.

    Raises
    ------
    ModelError
        Neither the temporary folder nor the cache folder can be written.
    """
    with _probe_files() as (text, mmproj):
        try:
            rows = _encode(lib, text, mmproj)
        except ModelError as error:
            # A later llama.cpp may refuse so small a file; a user's own may be fine all the same.
            _log.warning("the order of the class token cannot be measured: %s", error)
            return "unknown"
    return judge(rows)


@contextlib.contextmanager
def _probe_files() -> Iterator[tuple[Path, Path]]:
    """Write the probe's pair into the temporary folder, or where that cannot be, the cache."""
    troubles = []
    for parent in (None, cache_folder("runtime")):
        folder = None
        try:
            try:
                if parent is not None:
                    parent.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix="astrollava-", dir=parent))
                files = probe.write(folder)
            except OSError as error:
                troubles.append(str(error))
                continue
            yield files
            return
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
    raise ModelError(
        "where this llama.cpp puts the class token cannot be measured: no file can be written "
        f"({'; '.join(troubles)})",
        hint=f"Set TMPDIR or {VARIABLE} to a folder that can be written: 9 KB are needed, once",
    )


def _encode(lib: runtime.Bindings, text: Path, mmproj: Path) -> npt.NDArray[np.float32]:
    with logs.Captured():
        model = TextModel(lib, text, n_gpu_layers=0)
        try:
            projector = Projector(lib, mmproj, model, on_gpu=False, threads=1)
            try:
                return projector.encode(probe.picture(), key="").values
            finally:
                projector.free()
        finally:
            model.free()


def judge(rows: npt.NDArray[np.float32]) -> ClassTokenOrder:
    """Tell the order from the rows of the probe's picture.

    Parameters
    ----------
    rows : ndarray of float32, shape (patches, width)
        What the probe's projector gave out.
    """
    if not np.isfinite(rows).all():
        return "unknown"
    unit = float(probe.LOUD)
    content = np.rint(rows[:, probe.CONTENT_AXIS] / unit).astype(int).tolist()
    token = np.rint(rows[:, probe.CLASS_AXIS] / unit).astype(int).tolist()
    table = rows[:, probe.POSITION_AXIS : probe.POSITION_AXIS + probe.PATCHES + 1]
    position = table.argmax(axis=1).tolist()
    count = probe.PATCHES
    patches, after_token = list(range(1, count + 1)), list(range(1, count + 1))
    if (content, token, position) == (patches, [0] * count, after_token):
        return "first"
    # Patch 0 is gone, each other one sits at its neighbour's position, and the token ends the list.
    if (content, token, position) == ([*patches[1:], 0], [0] * (count - 1) + [1], after_token):
        return "last"
    return "unknown"


def _build_key(lib: runtime.Bindings) -> str:
    library = Path(lib.mtmd._libmtmd._name)
    try:
        found = library.stat()
        build = f"{library.resolve()} {found.st_size} {found.st_mtime_ns}"
    except OSError:
        build = str(library)
    return hashlib.sha256(f"1 {lib.version} {build}".encode()).hexdigest()[:16]


def _file(key: str) -> Path:
    return cache_folder("runtime") / f"class-token-{key}.json"


def _recall(key: str) -> ClassTokenOrder | None:
    try:
        order = json.loads(_file(key).read_bytes()[:4096])["order"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # What could not be told is measured again: it costs little, and the cause may be gone.
    return order if order in ("first", "last") else None


def _remember(key: str, order: ClassTokenOrder, version: str) -> None:
    record = {"order": order, "llama-cpp-python": version}
    try:
        with whole_file(_file(key)) as file:
            file.write(json.dumps(record).encode() + b"\n")
    except ModelError as error:
        _log.debug("the order of the class token is not remembered: %s", error)
