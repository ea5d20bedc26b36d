"""What is wrong with a third-party LLaVA-1.5 projector file, and a copy in which it is right.

Three things keep such files from giving what the original model gives:

``class-token``
    llama.cpp may append the class token behind the patches and still give it the first row of
    positions (issue 25814; `astrollava.engine.class_token_order` measures it). With the rows of
    ``v.position_embd.weight`` in the order [1 .. N, 0] every patch gets its own.
``missing-layer``
    llama.cpp's old converter left the tower's last layer out, and llama.cpp leaves out one more
    (issue 25817). ``clip.vision.feature_layer`` names the layer that is meant.
``projector-type``
    Files of 2023 do not name their projector, which llama.cpp no longer accepts.

No tensor's values change: rows move, keys are added.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from astrollava._cache import cache_folder, whole_file
from astrollava.errors import AstrollavaError, InvalidModelFile, InvalidRequest

from . import store
from ._bytes import DAMAGED, open_model
from ._header import GGUFHeader, TensorInfo, read_header
from ._rewrite import Item, rewrite

__all__ = [
    "ORDER_KEY",
    "Defect",
    "Order",
    "diagnose",
    "discard",
    "has_class_token",
    "is_beyond_repair",
    "repair",
    "twin",
]

#: Where the class token stands: before the patches, after them, or a build that does neither.
Order: TypeAlias = Literal["first", "last", "unknown"]

#: Says in a file in which order its rows of positions are: ``"first"`` (as in the original model,
#: and where the key is missing) or ``"last"``.
ORDER_KEY: Final = "astrollava.vision.class_token"

#: Raised when another copy is made of the same file, so that old ones are not taken for it.
_VERSION: Final = 1

_POSITIONS: Final = "v.position_embd.weight"
_FEATURE_LAYER: Final = "clip.vision.feature_layer"

#: (width, width of the feed-forward) -> layers of OpenAI's and OpenCLIP's towers: B, L, H, g, G.
_DEPTHS: Final = {
    (768, 3072): 12,
    (1024, 4096): 24,
    (1280, 5120): 32,
    (1408, 6144): 40,
    (1664, 8192): 48,
}

#: Bytes of a table of positions; it is held in memory. Real ones take up to 10 MB.
_MOST_POSITIONS: Final = 256 << 20

_log = logging.getLogger("astrollava")


@dataclass(frozen=True)
class Defect:
    """Something in a projector file that would make its images differ from the original's.

    Attributes
    ----------
    name : {"class-token", "missing-layer", "projector-type"}
        Which one.
    problem : str
        What it is, in words.
    """

    name: Literal["class-token", "missing-layer", "projector-type"]
    problem: str


def has_class_token(header: GGUFHeader) -> bool:
    """Say whether the file is a LLaVA-1.5 one: a tower with a class token under an MLP projector.

    Only of such a file does it matter where llama.cpp puts the class token.
    """
    return _is_llava(header) and any(t.name == "v.class_embd" for t in header.tensors)


def is_beyond_repair(header: GGUFHeader) -> bool:
    """Say whether a misplaced class token spoils this file in a way that no copy can mend.

    Its projector joins neighbouring patches, among which the class token then stands (MobileVLM).
    """
    return (
        header.metadata.get("general.architecture") == "clip"
        and header.metadata.get("clip.projector_type") in ("ldp", "ldpv2", "adapter")
        and any(t.name == "v.class_embd" for t in header.tensors)
    )


def diagnose(header: GGUFHeader, order: Order) -> tuple[Defect, ...]:
    """Tell what must change in a projector file for a llama.cpp that has this order.

    Parameters
    ----------
    header : GGUFHeader
        The file's header. Of other files than LLaVA-1.5's nothing is said.
    order : {"first", "last", "unknown"}
        Where llama.cpp puts the class token: see `astrollava.engine.class_token_order`.

    Returns
    -------
    tuple of Defect
        Empty where the file is right as it is.
    """
    if not has_class_token(header):
        return ()
    found = []
    if header.metadata.get("clip.projector_type") is None:
        found.append(Defect("projector-type", "does not name its projector, which is an MLP"))
    if (layers := _layers_without_a_name(header)) is not None:
        found.append(
            Defect(
                "missing-layer",
                f"holds {layers} layers and means the last, of which llama.cpp runs {layers - 1}",
            )
        )
    held = _order_held(header)
    if order in ("first", "last") and held != order and _positions(header) is not None:
        found.append(
            Defect(
                "class-token",
                f"has the class token's position {held}, this llama.cpp puts the token {order}",
            )
        )
    return tuple(found)


def repair(
    header: GGUFHeader, order: Order, out: Path | None = None, *, folder: Path | None = None
) -> Path:
    """Return the path of a copy in which every defect is repaired, and make it where it is missing.

    Parameters
    ----------
    header : GGUFHeader
        The file's header.
    order : {"first", "last", "unknown"}
        Where llama.cpp puts the class token.
    out : Path, optional
        The copy, a file that does not exist; by default one in `folder`, named after the file's
        hash, so that it is made once.
    folder : Path, optional
        Where copies without a name of their own go; by default the cache folder.

    Returns
    -------
    Path
        The copy, or the file itself where nothing is wrong and `out` was not given.

    Raises
    ------
    InvalidRequest
        `out` exists, or nothing is wrong with the file.
    InvalidModelFile
        The file was cut short or changed meanwhile.
    NotEnoughSpace, ModelError
        There is no room for the copy, or it cannot be written.
    """
    defects = diagnose(header, order)
    if not defects:
        if out is None:
            return header.path
        raise InvalidRequest(
            f"there is nothing to repair in {header.path}", hint="Use the file as it is"
        )
    digest = store.sha256(header.path)
    if out is None:
        copy = _place(folder, digest, order)
        if _is_sound(copy, digest):
            _log.info("%s: the repaired copy %s is used", header.path, copy)
            return copy
    else:
        copy = out
        if copy.exists() and copy.samefile(header.path):
            raise InvalidRequest(
                f"{out} is the file to be repaired", expected="another path for the copy"
            )
        if os.path.lexists(copy):
            raise InvalidRequest(
                f"{out} exists, and nothing is written over it",
                expected="the path of a new file",
                hint="Choose another, or remove that one first",
            )
    _write(header, copy, order, defects, digest)
    _log.warning(
        "%s %s: the repaired copy %s is used",
        header.path,
        "; ".join(defect.problem for defect in defects),
        copy,
    )
    return copy


def twin(header: GGUFHeader, *, folder: Path | None = None) -> Path | None:
    """Return the path of a copy that gives the patch llama.cpp loses, and make it where missing.

    A llama.cpp that puts the class token last loses patch 0, whatever the file says. In this copy,
    which is repaired as well, patches 0 and 1 have each other's position: shown a picture in which
    the two are exchanged the tower computes the same, and patch 1 is lost instead.

    Parameters
    ----------
    header : GGUFHeader
        The header of the file, repaired or not.
    folder : Path, optional
        Where the copy goes; by default the cache folder.

    Returns
    -------
    Path or None
        The copy; None for a file that has no use for it.

    Raises
    ------
    InvalidModelFile
        The file was cut short or changed meanwhile.
    NotEnoughSpace, ModelError
        There is no room for the copy, or it cannot be written.
    """
    found = _positions(header)
    if not has_class_token(header) or found is None or found[1] < 5:
        return None
    digest = store.sha256(header.path)
    copy = _place(folder, digest, "twin")
    if not _is_sound(copy, digest):
        _write(header, copy, "last", diagnose(header, "last"), digest, exchanged=True)
        _log.info("%s: the copy %s gives the patch that llama.cpp loses", header.path, copy)
    return copy


def discard(digest: str) -> int:
    """Remove the copies in the cache folder that were made of a file.

    Parameters
    ----------
    digest : str
        The file's SHA-256.

    Returns
    -------
    int
        The bytes that were freed. What cannot be removed stays: it is a cache.
    """
    freed = 0
    for copy in cache_folder("repaired").glob(f"mmproj-{digest[:32]}-*.gguf"):
        with contextlib.suppress(OSError):
            size = copy.stat().st_size
            copy.unlink()
            freed += size
    return freed


def _place(folder: Path | None, digest: str, what: str) -> Path:
    return (folder or cache_folder("repaired")) / f"mmproj-{digest[:32]}-{what}-{_VERSION}.gguf"


def _write(
    header: GGUFHeader,
    copy: Path,
    order: Order,
    defects: tuple[Defect, ...],
    digest: str,
    *,
    exchanged: bool = False,
) -> None:
    keys, tensors = _changes(header, order, defects)
    if exchanged:
        tensors[_POSITIONS] = _exchanged(header, tensors.get(_POSITIONS) or _table(header))
        keys["astrollava.repair.exchanged"] = ("bool", True)
    keys["astrollava.repair.source"] = ("str", digest)
    keys["astrollava.repair.defects"] = ("str", ", ".join(defect.name for defect in defects))
    with whole_file(copy, size=header.size + 4096) as file:
        rewrite(header, file, keys=keys, tensors=tensors)


def _is_llava(header: GGUFHeader) -> bool:
    if header.metadata.get("general.architecture") != "clip":
        return False
    kind = header.metadata.get("clip.projector_type")
    if kind is None and "clip.vision.projector_type" not in header.metadata:
        names = {tensor.name for tensor in header.tensors}
        return _by_old_converter(header) and {"mm.0.weight", "mm.2.weight"} <= names
    return kind == "mlp"


def _by_old_converter(header: GGUFHeader) -> bool:
    """Say whether llama.cpp's ``convert_image_encoder_to_gguf.py`` wrote it for a LLaVA."""
    return (
        header.metadata.get("clip.has_llava_projector") is True
        or header.metadata.get("general.description") == "image encoder for LLaVA"
    )


def _layers_without_a_name(header: GGUFHeader) -> int | None:
    """Return how many layers the file holds where the last is meant and it does not say so."""
    layers = header.metadata.get("clip.vision.block_count")
    # Our own converter writes all layers, and says in what order the positions are.
    if {_FEATURE_LAYER, ORDER_KEY} & header.metadata.keys():
        return None
    if not isinstance(layers, int) or layers < 1:
        return None
    width = header.metadata.get("clip.vision.embedding_length")
    inner = header.metadata.get("clip.vision.feed_forward_length")
    depth = None
    if isinstance(width, int) and isinstance(inner, int):
        depth = _DEPTHS.get((width, inner))
    # A tower whose depth is known tells by itself; of another the converter's habit is known.
    short = _by_old_converter(header) if depth is None else layers == depth - 1
    return layers if short else None


def _order_held(header: GGUFHeader) -> Order:
    return "last" if header.metadata.get(ORDER_KEY) == "last" else "first"


def _positions(header: GGUFHeader) -> tuple[TensorInfo, int, int] | None:
    """Return the table of positions, its rows in use and the bytes of each."""
    side = header.metadata.get("clip.vision.image_size")
    patch = header.metadata.get("clip.vision.patch_size")
    table = next((t for t in header.tensors if t.name == _POSITIONS), None)
    if table is None or not isinstance(side, int) or not isinstance(patch, int) or patch < 1:
        return None
    used = (side // patch) ** 2 + 1
    if len(table.shape) != 2 or table.shape[1] < used or table.size > _MOST_POSITIONS:
        return None
    return table, used, table.size // table.shape[1]


def _changes(
    header: GGUFHeader, order: Order, defects: tuple[Defect, ...]
) -> tuple[dict[str, Item], dict[str, bytes]]:
    keys: dict[str, Item] = {}
    tensors: dict[str, bytes] = {}
    names = {defect.name for defect in defects}
    if "projector-type" in names:
        keys["clip.projector_type"] = ("str", "mlp")
    if "missing-layer" in names:
        keys[_FEATURE_LAYER] = ("[i32]", (_layers_without_a_name(header),))
    if "class-token" in names:
        keys[ORDER_KEY] = ("str", order)
        tensors[_POSITIONS] = _turned(header, order)
    return keys, tensors


def _table(header: GGUFHeader) -> bytes:
    found = _positions(header)
    assert found is not None
    table = found[0]
    file, _ = open_model(header.path)
    with file:
        file.seek(header.data_offset + table.offset)
        rows = file.read(table.size)
    if len(rows) < table.size:
        raise InvalidModelFile(f"{header.path} became shorter while it was read", hint=DAMAGED)
    return rows


def _turned(header: GGUFHeader, order: Order) -> bytes:
    """Return the table with the class token's row at the other end of those in use."""
    found = _positions(header)
    assert found is not None
    _, used, row = found
    rows, end = _table(header), used * row
    at = row if order == "last" else end - row
    return rows[at:end] + rows[:at] + rows[end:]


def _exchanged(header: GGUFHeader, rows: bytes) -> bytes:
    """Return the table with the first two rows in each other's place."""
    found = _positions(header)
    assert found is not None
    row = found[2]
    return rows[row : 2 * row] + rows[:row] + rows[2 * row :]


def _is_sound(copy: Path, digest: str) -> bool:
    if not copy.is_file():
        return False
    try:
        return read_header(copy).metadata.get("astrollava.repair.source") == digest
    except AstrollavaError:
        # Something else damaged it: it is made anew.
        return False
