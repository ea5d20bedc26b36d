"""The vision tower and projector: RGB in, embeddings out, through llama.cpp's mtmd."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from astrollava.engine import _logs as logs
from astrollava.engine._header import Header
from astrollava.engine._native import TextModel
from astrollava.engine._positions import Places, read_places
from astrollava.engine.runtime import Bindings
from astrollava.errors import GenerationError, InvalidRequest, ModelLoadFailed, ProjectorMismatch

__all__ = ["ImageEmbedding", "Projector", "pixel_key"]

#: What an image becomes in a prompt: text tokens some models want around it, and ranges of rows.
Layout: TypeAlias = tuple[tuple[int, ...] | slice, ...]

#: The tensor whose size is the width of an image token, by kind of projector.
_LAST_BIAS = {"mlp": "mm.2.bias", "internvl": "mm.model.mlp.3.bias"}

#: Pictures encoded at once at most; mtmd's own bound, by their tokens, is mostly lower.
_MOST_TOGETHER = 16

#: Projectors of towers without a size of their own; a token is two patches wide and high.
_ANY_SIZE = frozenset({"qwen2vl_merger", "qwen2.5vl_merger"})


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """An image as the language model reads it.

    Attributes
    ----------
    values : ndarray of float32, shape (tokens, n_embd)
        One row an image token; read-only.
    key : str
        SHA-256 of the pixels and their shape, in hexadecimal.
    layout : tuple
        Text token ids (tuples) and row ranges of `values` (slices), in the order they are read.
    causal : bool
        False where the model lets an image's tokens see each other.
    places : tuple of Places
        Positions of each row range, for a model that gives tokens a row and a column; else empty.
    """

    values: npt.NDArray[np.float32] = field(repr=False)
    key: str
    layout: Layout = field(repr=False)
    causal: bool = True
    places: tuple[Places, ...] = field(default=(), repr=False)


def pixel_key(rgb: npt.NDArray[np.uint8]) -> str:
    """Return the SHA-256 of an image's shape and pixels, in hexadecimal."""
    digest = hashlib.sha256(repr(rgb.shape).encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


class Projector:
    """An mmproj file in llama.cpp: the vision tower and the projector.

    Raises
    ------
    ProjectorMismatch
        It writes embeddings of another width than the language model reads.
    ModelLoadFailed
        llama.cpp refuses it, or it is of a kind not supported here.
    """

    def __init__(
        self, lib: Bindings, path: Path, model: TextModel, *, on_gpu: bool, threads: int
    ) -> None:
        self._lib = lib
        self._n_embd = model.n_embd
        self._places_on_grid = model.places_on_grid
        self.threads = threads
        self._path = path
        self.image_size, self.kind, self._class_token_side, self._token_side = self._read_header()
        self._rows_restored = False
        self._twin: Projector | None = None
        self.pointer = _open(lib, path, model, on_gpu=on_gpu, threads=threads)
        try:
            self._refuse_unsupported()
            self._settle_size()
            #: Pictures llama.cpp encodes at once at most; 1 for most kinds of projector.
            self.batch = self._most_together()
        except BaseException:
            self.free()
            raise

    @property
    def reads_class_token(self) -> bool:
        """Whether the tower has a class token that llama.cpp may put in the wrong place."""
        return self._class_token_side > 0

    @property
    def lost_patches(self) -> tuple[int, ...]:
        """Rows for which another stands in."""
        return (0,) if self._rows_restored and self._twin is None else ()

    def restore_rows(self, twin: Projector | None) -> None:
        """Undo, from now on, what a class token behind the patches does to the rows given out.

        Patches 1 to the last come out, then the class token: they move back to their places, and
        the class token makes room. Patch 0 is lost.

        Parameters
        ----------
        twin : Projector or None
            The same tower with the positions of patches 0 and 1 exchanged. Given a picture in which
            the two are exchanged as well it computes the same, and loses patch 1: patch 0 is taken
            from it. Without it the neighbour stands in. It is freed with this projector.
        """
        self._rows_restored = True
        self._twin = twin

    def _refuse_unsupported(self) -> None:
        mtmd = self._lib.mtmd
        if not mtmd.mtmd_support_vision(self.pointer):
            raise ModelLoadFailed(
                f"{self._path} has no vision tower", expected="an mmproj file for images"
            )

    def _settle_size(self) -> None:
        """Learn from a blank picture what becomes of one.

        A Qwen tower takes any picture of whole tokens that are neither too few nor too many, and
        mtmd resizes all others: the size taken here is what it makes of the size the file names.
        """
        blank = np.zeros((*self.image_size, 3), np.uint8)
        with self._chunks(blank) as chunks:
            self.causal, layout, places = self._survey(chunks)
        self.image_tokens = sum(p.stop - p.start for p in layout if isinstance(p, slice))
        no_values = np.broadcast_to(np.float32(0), (self.image_tokens, self._n_embd))
        #: What every image becomes, but for its values.
        self.blank = ImageEmbedding(no_values, "", layout, self.causal, places)
        #: True where the model wants text of its own around an image: it writes it itself.
        self.frames_images = any(isinstance(p, tuple) for p in layout)
        if self._token_side:
            side = math.isqrt(self.image_tokens) * self._token_side
            self.image_size = side, side

    def _read_header(self) -> tuple[tuple[int, int], str, int, int]:
        with Header(self._lib, self._path) as header:
            side = header.integer("clip.vision.image_size")
            kind = header.text("clip.projector_type") or header.text("clip.vision.projector_type")
            width = header.vector_size(_LAST_BIAS.get(kind, ""))
            patch = header.integer("clip.vision.patch_size") or 0
            class_token = kind == "mlp" and header.has_tensor("v.class_embd")
        # llama.cpp finds a mismatch too, but never frees what it loaded until then.
        if width is not None and width != self._n_embd:
            raise _mismatch(self._path, self._n_embd, f"it writes embeddings of width {width}")
        if side is None or not 1 <= side <= 8192:
            raise ModelLoadFailed(
                f"{self._path} names no usable input size for images"
                f" (clip.vision.image_size: {side})",
                expected="the projector (mmproj) of a pair, with an input of 1 to 8192 pixels",
            )
        class_token_side = side // patch if class_token and patch else 0
        return (side, side), kind, class_token_side, 2 * patch if kind in _ANY_SIZE else 0

    def encode(self, rgb: npt.NDArray[np.uint8], key: str) -> ImageEmbedding:
        """Run the tower on one image of exactly `image_size`, uint8, shape ``(h, w, 3)``."""
        with logs.Captured():
            with self._chunks(rgb) as chunks:
                rows, layout, places = self._encode_chunks(chunks)
            if self._rows_restored:
                self._restore(rows, rgb)
        values = np.concatenate(rows)
        values.setflags(write=False)
        return ImageEmbedding(values, key, layout, self.causal, places)

    def check(self, rgb: npt.NDArray[np.uint8]) -> None:
        """Refuse what is not an image of exactly `image_size`.

        Raises
        ------
        InvalidRequest
            Another type, dtype or shape.
        """
        height, width = self.image_size
        if not isinstance(rgb, np.ndarray):
            given = f"a {type(rgb).__name__}"
        elif rgb.dtype != np.uint8 or rgb.shape != (height, width, 3):
            given = f"an array of {rgb.dtype} and shape {rgb.shape}"
        else:
            return
        raise InvalidRequest(
            f"the image to encode is {given}",
            expected=f"an array of uint8 and shape ({height}, {width}, 3)",
            hint="Render the image to the engine's image_size first",
        )

    def encode_together(
        self, pictures: Sequence[npt.NDArray[np.uint8]], keys: Sequence[str]
    ) -> list[ImageEmbedding]:
        """Run the tower once on at most `batch` images, as `encode` on each."""
        mtmd = self._lib.mtmd
        with logs.Captured(), ExitStack() as undo:
            cut = [undo.enter_context(self._chunks(rgb)) for rgb in pictures]
            images = [self._image_of(chunks) for chunks in cut]
            batch = mtmd.mtmd_batch_init(self.pointer)
            undo.callback(mtmd.mtmd_batch_free, batch)
            logs.clear()
            if any(mtmd.mtmd_batch_add_chunk(batch, image) for image in images) or (
                mtmd.mtmd_batch_encode(batch)
            ):
                raise GenerationError(
                    f"llama.cpp cannot encode {len(images)} images at once ({logs.tail(2)})"
                )
            found = []
            for chunks, image, key in zip(cut, images, keys, strict=True):
                out = mtmd.mtmd_batch_get_output_embd(batch, image)
                values = np.ctypeslib.as_array(out, (self.image_tokens, self._n_embd)).copy()
                values.setflags(write=False)
                causal, layout, places = self._survey(chunks)
                found.append(ImageEmbedding(values, key, layout, causal, places))
            return found

    def _image_of(self, chunks: list[Any]) -> Any:
        """Return the chunk of a picture that is read whole."""
        (image,) = [chunk for chunk in chunks if self._text_of(chunk) is None]
        return image

    def _most_together(self) -> int:
        """Ask llama.cpp how many pictures it would encode at once."""
        mtmd = self._lib.mtmd
        if self.reads_class_token or sum(isinstance(p, slice) for p in self.blank.layout) != 1:
            return 1
        blank = np.zeros((*self.image_size, 3), np.uint8)
        with logs.Captured(), self._chunks(blank) as chunks, ExitStack() as undo:
            batch = mtmd.mtmd_batch_init(self.pointer)
            undo.callback(mtmd.mtmd_batch_free, batch)
            image = self._image_of(chunks)
            for taken in range(_MOST_TOGETHER):
                if mtmd.mtmd_batch_add_chunk(batch, image):
                    return max(1, taken)
        return _MOST_TOGETHER

    @contextmanager
    def _chunks(self, rgb: npt.NDArray[np.uint8]) -> Iterator[list[Any]]:
        """Let mtmd cut a prompt that is one image."""
        mtmd = self._lib.mtmd
        pixels = np.ascontiguousarray(rgb)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            marker = mtmd.mtmd_default_marker()
            text = mtmd.mtmd_input_text(
                text=marker, text_len=len(marker), add_special=False, parse_special=True
            )
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            if mtmd.mtmd_tokenize(self.pointer, chunks, ctypes.byref(text), bitmaps, 1):
                raise GenerationError(f"llama.cpp cannot prepare the image ({logs.tail(2)})")
            size = mtmd.mtmd_input_chunks_size(chunks)
            yield [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(size)]
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def _survey(self, chunks: list[Any]) -> tuple[bool, Layout, tuple[Places, ...]]:
        layout: list[tuple[int, ...] | slice] = []
        places: list[Places] = []
        causal = True
        row = 0
        for chunk in chunks:
            tokens = self._text_of(chunk)
            if tokens is not None:
                layout.append(tokens)
                continue
            n = int(self._lib.mtmd.mtmd_input_chunk_get_n_tokens(chunk))
            layout.append(slice(row, row + n))
            row += n
            if self._places_on_grid:
                places.append(read_places(self._lib.mtmd, chunk))
            causal &= not self._lib.mtmd.mtmd_decode_use_non_causal(self.pointer, chunk)
        return causal, tuple(layout), tuple(places)

    def _text_of(self, chunk: Any) -> tuple[int, ...] | None:
        mtmd = self._lib.mtmd
        if mtmd.mtmd_input_chunk_get_type(chunk) != mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            return None
        count = ctypes.c_size_t()
        tokens = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
        return tuple(tokens[: count.value])

    def _encode_chunks(
        self, chunks: list[Any]
    ) -> tuple[list[npt.NDArray[np.float32]], Layout, tuple[Places, ...]]:
        mtmd = self._lib.mtmd
        rows = []
        for chunk in chunks:
            if self._text_of(chunk) is not None:
                continue
            logs.clear()
            if mtmd.mtmd_encode_chunk(self.pointer, chunk):
                raise GenerationError(f"llama.cpp cannot encode the image ({logs.tail(2)})")
            shape = (int(mtmd.mtmd_input_chunk_get_n_tokens(chunk)), self._n_embd)
            out = mtmd.mtmd_get_output_embd(self.pointer)
            rows.append(np.ctypeslib.as_array(out, shape).copy())
        return rows, *self._survey(chunks)[1:]

    def _restore(self, rows: list[npt.NDArray[np.float32]], rgb: npt.NDArray[np.uint8]) -> None:
        patches = self._class_token_side**2
        for values in rows:
            # A picture cut into tiles has a class token in each.
            for start in range(0, len(values), patches):
                stop = min(start + patches, len(values))
                values[start + 1 : stop] = values[start : stop - 1].copy()
        if self._twin is not None:
            side = self.image_size[1] // self._class_token_side
            exchanged = rgb.copy()
            exchanged[:side, :side] = rgb[:side, side : 2 * side]
            exchanged[:side, side : 2 * side] = rgb[:side, :side]
            with self._twin._chunks(exchanged) as chunks:
                others, *_ = self._twin._encode_chunks(chunks)
            rows[0][0] = others[0][0]

    @property
    def can_have_twin(self) -> bool:
        """Whether a picture is read whole, and has two patches to exchange."""
        return self._class_token_side > 1 and self.image_tokens == self._class_token_side**2

    def free(self) -> None:
        """Release the weights."""
        if self._twin is not None:
            self._twin.free()
        self._lib.mtmd.mtmd_free(self.pointer)


def _open(lib: Bindings, path: Path, model: TextModel, *, on_gpu: bool, threads: int) -> Any:
    options = lib.mtmd.mtmd_context_params_default()
    options.use_gpu = on_gpu
    options.print_timings = False
    options.n_threads = threads
    # The warm-up encodes a blank image: half of a cold start.
    options.warmup = False
    logs.clear()
    pointer = lib.mtmd.mtmd_init_from_file(os.fsencode(path), model.pointer, options)
    if pointer:
        return pointer
    tail = logs.tail(12)
    if "mismatch between text model" in tail:
        raise _mismatch(path, model.n_embd, tail)
    raise ModelLoadFailed(
        f"llama.cpp cannot load {path} as a projector ({tail})",
        expected="a GGUF file of a vision tower and projector (mmproj)",
    )


def _mismatch(path: Path, width: int, reason: str) -> ProjectorMismatch:
    return ProjectorMismatch(
        f"{path} was made for another language model ({reason})",
        expected=f"a projector that writes embeddings of width {width}",
        hint="Use the mmproj file published beside this very language model",
    )
