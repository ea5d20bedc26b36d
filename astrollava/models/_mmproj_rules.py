"""What a vision projector's header must say for llama.cpp to survive it.

llama.cpp takes a projector file at its word: a key of another type, a missing tensor or a shape
that does not fit aborts the process (``clip.cpp``, ``models/*.cpp`` and ``ggml.c``). The graphs of
`CHECKED_PROJECTORS` are mirrored here tensor by tensor; of the others only what all share.
"""

from __future__ import annotations

import math
from typing import Final

from ._formats import PROJECTORS, WHAT_IT_IS
from ._header import GGUFHeader
from ._inspect import F32, Inspector
from ._tower_rules import MATRIX, Tower, check_tower

__all__ = ["CHECKED_PROJECTORS", "check_mmproj", "output_width", "projector_type"]

#: Tiles along a side into which a picture may be cut: each is encoded. Real models use up to 6.
_MOST_TILES: Final = 16

_FLAGS: Final = (
    "clip.has_vision_encoder",
    "clip.has_audio_encoder",
    "clip.has_gen_audio_encoder",
    "clip.use_gelu",
    "clip.use_silu",
)
_TEXTS: Final = (
    "general.name",
    "general.description",
    "clip.projector_type",
    "clip.vision.projector_type",
    "clip.audio.projector_type",
    "clip.gen.audio.projector_type",
    "clip.gen.audio.model_variant",
    "clip.vision.mm_patch_merge_type",
)
_OTHER_TYPES: Final = {
    "clip.minicpmv_version": "i32",
    "clip.vision.attention.layer_norm_epsilon": "f32",
    "clip.audio.attention.layer_norm_epsilon": "f32",
    "clip.vision.swiglu_clamp": "f32",
}
#: Read as u32 by llama.cpp, which aborts on any other type.
_COUNTS: Final = frozenset({
    "clip.minicpmv_query_num", "clip.vision.image_size", "clip.vision.patch_size",
    "clip.vision.embedding_length", "clip.vision.feed_forward_length", "clip.vision.block_count",
    "clip.vision.projection_dim", "clip.vision.attention.head_count",
    "clip.vision.attention.head_count_kv", "clip.vision.attention.head_dim",
    "clip.vision.image_min_pixels", "clip.vision.image_max_pixels",
    "clip.vision.preproc_min_tiles", "clip.vision.preproc_max_tiles",
    "clip.vision.preproc_image_size", "clip.vision.projector.scale_factor",
    "clip.vision.projector.query_side", "clip.vision.projector.window_side",
    "clip.vision.spatial_merge_size", "clip.vision.n_wa_pattern", "clip.vision.window_size",
    "clip.vision.sam.head_count", "clip.vision.sam.block_count",
    "clip.vision.sam.embedding_length", "clip.vision.expert_used_count",
})  # fmt: skip

#: Where each projector's output width stands: tensor name -> axis, fastest-varying first.
_OUTPUT: Final[dict[str, tuple[str, int]]] = {
    "mlp": ("mm.2.weight", 1),
    "mlp_norm": ("mm.3.weight", 1),
    "idefics3": ("mm.model.fc.weight", 1),
    "internvl": ("mm.model.mlp.3.weight", 1),
    "gemma3": ("mm.input_projection.weight", 0),
    "qwen2vl_merger": ("mm.2.weight", 1),
    "qwen2.5vl_merger": ("mm.2.weight", 1),
}

#: Projectors whose graphs are mirrored tensor by tensor.
CHECKED_PROJECTORS: Final = frozenset(_OUTPUT)


def check_mmproj(header: GGUFHeader) -> None:
    """Raise `InvalidModelFile` unless the file is a vision projector llama.cpp can bear."""
    ask = Inspector(header)
    _kind(ask)
    _types(ask)
    projector = projector_type(header)
    _numbers(ask)
    if projector in CHECKED_PROJECTORS:
        tower = check_tower(ask, projector)
        _CHECKS[projector](ask, tower)


def projector_type(header: GGUFHeader) -> str:
    """Return the projector's type, ``"mlp_norm"`` for the variant llama.cpp tells by its tensors.

    Raises
    ------
    InvalidModelFile
        It has none, or one llama.cpp does not know.
    """
    ask = Inspector(header)
    name = ask.text("clip.projector_type") or ask.text("clip.vision.projector_type")
    if name is None:
        raise ask.fail("does not say its projector type", expected="clip.projector_type")
    if name not in PROJECTORS:
        raise ask.fail(
            f"has the projector type {name!r:.40}",
            expected="a vision projector that llama.cpp knows, such as mlp or idefics3",
        )
    return "mlp_norm" if name == "mlp" and "mm.3.weight" in ask.tensors else name


def output_width(header: GGUFHeader) -> int | None:
    """Return the width of the embeddings the projector makes, or None where it is not known."""
    where = _OUTPUT.get(projector_type(header))
    tensor = next((t for t in header.tensors if where and t.name == where[0]), None)
    if where is None or tensor is None or len(tensor.shape) <= where[1]:
        return None
    return tensor.shape[where[1]]


def _kind(ask: Inspector) -> None:
    architecture = ask.text("general.architecture")
    if architecture != "clip":
        what = WHAT_IT_IS.get(architecture or "")
        if ask.has("adapter.type"):
            what = "a LoRA adapter"
        hint = "" if what else "The two files may be swapped: give this one as the model"
        what = what or f"a language model ({architecture!r:.40})"
        raise ask.fail(f"is {what}", expected="a vision projector (mmproj)", hint=hint)
    if not ask.flag("clip.has_vision_encoder", default=False):
        raise ask.fail("has no vision encoder", expected="a projector for images")
    if not ask.tensors:
        raise ask.fail("has no tensors", expected="a projector with its weights")


def _types(ask: Inspector) -> None:
    for key in _FLAGS:
        ask.value(key, {"bool"}, None)
    for key in _TEXTS:
        ask.value(key, {"str"}, None)
    for key, kind in _OTHER_TYPES.items():
        ask.value(key, {kind}, None)
    for key in ask.header.metadata:
        # Audio counts are many and of one type; of unknown vision keys nothing is asked.
        audio_count = key.startswith("clip.audio.") and ask.header.types[key] in _WRONG_COUNTS
        if key in _COUNTS or (audio_count and key not in (*_TEXTS, *_OTHER_TYPES)):
            ask.integer(key, 0, 0x7FFFFFFF)


#: Scalar types a file may wrongly use for a count.
_WRONG_COUNTS: Final = frozenset({"u8", "i8", "u16", "i16", "i32", "u64", "i64", "f64"})


def _numbers(ask: Inspector) -> None:
    ask.integer("clip.vision.image_size", 0, 8192)
    ask.integer("clip.vision.patch_size", 1, 4096)
    ask.integer("clip.vision.embedding_length", 1, 1 << 16)
    ask.integer("clip.vision.block_count", 0, 128)
    ask.integer("clip.vision.attention.head_count", 0, 1024)
    ask.integer("clip.vision.feed_forward_length", 0, 1 << 20)
    ask.integer("clip.vision.projection_dim", 0, 1 << 20)
    ask.integer("clip.vision.projector.scale_factor", 1, 256, default=1)
    ask.integer("clip.vision.spatial_merge_size", 1, 256, default=1)
    if ask.real("clip.vision.attention.layer_norm_epsilon", least=0.0) is None:
        raise ask.fail("lacks clip.vision.attention.layer_norm_epsilon")
    for key in ("image_mean", "image_std"):
        key = f"clip.vision.{key}"
        values = ask.value(key, {"[f32]"})
        assert isinstance(values, tuple)
        numbers = [float(v) for v in values if isinstance(v, float)]
        if len(numbers) < 3 or not all(map(math.isfinite, numbers)):
            raise ask.fail(f"{key} is {values!r:.80}", expected="three finite numbers")
        if key.endswith("std") and not all(numbers):
            raise ask.fail(f"{key} is {values!r:.80}", expected="no zero: pixels are divided by it")
    if ask.flag("clip.use_gelu", default=False) and ask.flag("clip.use_silu", default=False):
        raise ask.fail("wants both clip.use_gelu and clip.use_silu", expected="one of them")


def _mlp(ask: Inspector, tower: Tower) -> None:
    inner = _columns(ask, "mm.0.weight")
    ask.shape("mm.0.weight", (tower.width * tower.stacked, inner))
    ask.shape("mm.0.bias", (inner,), F32)
    outer = _columns(ask, "mm.2.weight")
    ask.shape("mm.2.weight", (inner, outer))
    ask.shape("mm.2.bias", (outer,), F32)
    _pinpoints(ask)


def _mlp_norm(ask: Inspector, tower: Tower) -> None:
    inner = _columns(ask, "mm.0.weight")
    ask.shape("mm.0.weight", (tower.width * tower.stacked, inner))
    outer = _columns(ask, "mm.3.weight")
    ask.shape("mm.3.weight", (inner, outer))
    for name, size in (("mm.0", inner), ("mm.1", inner), ("mm.3", outer), ("mm.4", outer)):
        ask.shape(f"{name}.bias", (size,), F32)
        if name in ("mm.1", "mm.4"):
            ask.shape(f"{name}.weight", (size,), F32)
    _pinpoints(ask)


def _pinpoints(ask: Inspector) -> None:
    key = "clip.vision.image_grid_pinpoints"
    values = ask.value(key, {"[i32]"}, None)
    if values is None:
        return
    if not isinstance(values, tuple) or len(values) % 2 or len(values) > 256:
        raise ask.fail(f"{key} is {values!r:.60}", expected="up to 128 pairs of sizes")
    side = ask.integer("clip.vision.image_size", 1, 8192)
    sizes = range(side, _MOST_TILES * side + 1, side)
    if not all(isinstance(v, int) and v in sizes for v in values):
        raise ask.fail(
            f"{key} is {values!r:.60}", expected=f"multiples of {side}, at most {_MOST_TILES} times"
        )


def _idefics3(ask: Inspector, tower: Tower) -> None:
    merge = _merge(ask, tower, least=2, default=1)
    most = _MOST_TILES * ask.integer("clip.vision.image_size", 1, 8192)
    ask.integer("clip.vision.preproc_image_size", 1, most)
    ask.shape(
        "mm.model.fc.weight", (tower.width * merge * merge, _columns(ask, "mm.model.fc.weight"))
    )


def _internvl(ask: Inspector, tower: Tower) -> None:
    merge = _merge(ask, tower, least=1, default=1)
    fewest = ask.integer("clip.vision.preproc_min_tiles", 1, 256, default=1)
    most = ask.integer("clip.vision.preproc_max_tiles", 1, 256, default=12)
    # llama.cpp wants `fewest` along each side, and asserts that this leaves a choice.
    if fewest**2 > most:
        raise ask.fail(f"cuts an image into at least {fewest} x {fewest} and at most {most} tiles")
    name = "mm.model.mlp"
    merged = tower.width * merge * merge
    inner, outer = _columns(ask, f"{name}.1.weight"), _columns(ask, f"{name}.3.weight")
    ask.shape(f"{name}.0.weight", (merged,), F32)
    ask.shape(f"{name}.0.bias", (merged,), F32)
    ask.shape(f"{name}.1.weight", (merged, inner))
    ask.shape(f"{name}.1.bias", (inner,), F32)
    ask.shape(f"{name}.3.weight", (inner, outer))
    ask.shape(f"{name}.3.bias", (outer,), F32)


def _gemma3(ask: Inspector, tower: Tower) -> None:
    _merge(ask, tower, least=1, default=4)
    # It is transposed at run time, which ggml does not do to quantized rows.
    tensor = ask.tensor("mm.input_projection.weight")
    ask.shape(tensor.name, (tensor.shape[0] if tensor.shape else 0, tower.width), MATRIX)
    ask.shape("mm.soft_emb_norm.weight", (tower.width,), F32)


def _qwen(ask: Inspector, tower: Tower) -> None:
    # The graph joins patches two by two whatever the file says.
    ask.integer("clip.vision.spatial_merge_size", 2, 2, default=2)
    inner, outer = _columns(ask, "mm.0.weight"), _columns(ask, "mm.2.weight")
    ask.shape("mm.0.weight", (4 * tower.width, inner))
    ask.shape("mm.0.bias", (inner,), F32)
    ask.shape("mm.2.weight", (inner, outer))
    ask.shape("mm.2.bias", (outer,), F32)
    key = "clip.vision.n_wa_pattern"
    if projector_type(ask.header) == "qwen2vl_merger":
        # Its graph would make windows whose indices nobody fills in.
        ask.integer(key, 0, 0, default=0)
    elif every := ask.integer(key, 0, 128):
        if every == 1:
            raise ask.fail(f"{key} is 1", expected="0, or some layers that see windows only")
        # Its windows are 112 pixels wide and hold whole pairs of patches.
        ask.integer("clip.vision.patch_size", 1, 56)
        ask.integer("clip.vision.projection_dim", outer, outer)


def _merge(ask: Inspector, tower: Tower, *, least: int, default: int) -> int:
    key = "clip.vision.projector.scale_factor"
    merge = ask.integer(key, 1, 256, default=default)
    if merge < least or tower.side % merge:
        raise ask.fail(
            f"{key} is {merge}",
            expected=f"at least {least} and a divisor of the {tower.side} patches of a side",
        )
    return merge


def _columns(ask: Inspector, name: str) -> int:
    shape = ask.tensor(name).shape
    return shape[1] if len(shape) > 1 else 1


_CHECKS: Final = {
    "mlp": _mlp,
    "mlp_norm": _mlp_norm,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "gemma3": _gemma3,
    "qwen2vl_merger": _qwen,
    "qwen2.5vl_merger": _qwen,
}
