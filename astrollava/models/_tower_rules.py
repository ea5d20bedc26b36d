"""The vision tower of a projector file, held against the graphs of llama.cpp tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ._inspect import F32, Inspector

__all__ = ["MATRIX", "Tower", "check_tower"]

#: Types of a matrix that is not only multiplied: convolved, transposed or added.
MATRIX: Final = frozenset({"F32", "F16", "BF16"})

#: Patches of the image the tower is made for; 128 x 128 is more than any model uses.
_MOST_PATCHES: Final = 16384

_QWEN: Final = frozenset({"qwen2vl_merger", "qwen2.5vl_merger"})
_LLAVA: Final = frozenset({"mlp", "mlp_norm"})


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision tower.

    Attributes
    ----------
    width : int
        Length of its embeddings.
    side : int
        Patches along a side of the image.
    heads : int
        Attention heads.
    layers : int
        Transformer blocks.
    stacked : int
        Layers whose outputs are joined before the projector.
    """

    width: int
    side: int
    heads: int
    layers: int
    stacked: int


def check_tower(ask: Inspector, projector: str) -> Tower:
    """Raise `InvalidModelFile` unless the tower fits the graph of its projector."""
    image = ask.integer("clip.vision.image_size", 1, 8192)
    patch = ask.integer("clip.vision.patch_size", 1, image)
    side = image // patch  # SigLIP's 384 / 14 is no whole number: the rest is cut off.
    if side * side > _MOST_PATCHES:
        raise ask.fail(
            f"cuts an image of {image} pixels into {side} x {side} patches",
            expected=f"at most {_MOST_PATCHES} patches",
        )
    width = ask.integer("clip.vision.embedding_length", 1, 1 << 16)
    layers = ask.integer("clip.vision.block_count", 1, 128)
    heads = _heads(ask, width, projector)
    tower = Tower(width, side, heads, layers, _stacked(ask, projector, layers))
    _embeddings(ask, tower, patch, projector)
    for name in ("v.pre_ln", "v.post_ln"):
        ask.shape(f"{name}.weight", (width,), F32, optional=True)
        ask.shape(f"{name}.bias", (width,), F32, optional=True)
    for layer in range(layers):
        _attention(ask, tower, f"v.blk.{layer}", projector)
        _feed_forward(ask, tower, f"v.blk.{layer}", projector)
    return tower


def _heads(ask: Inspector, width: int, projector: str) -> int:
    key = "clip.vision.attention.head_count"
    heads = ask.integer(key, 1, 1024)
    if width % heads:
        raise ask.fail(f"{key} is {heads}", expected=f"a divisor of the embedding length {width}")
    length = width // heads
    ask.integer("clip.vision.attention.head_dim", 0, length, default=0)
    if ask.integer("clip.vision.attention.head_dim", 0, length, default=0) not in (0, length):
        raise ask.fail("clip.vision.attention.head_dim differs", expected=f"{length}")
    ask.integer("clip.vision.attention.head_count_kv", heads, heads, default=heads)
    if projector in _QWEN and length % 4:
        raise ask.fail(f"has heads of {length} dimensions", expected="a multiple of 4")
    return heads


def _stacked(ask: Inspector, projector: str, layers: int) -> int:
    key = "clip.vision.feature_layer"
    values = ask.value(key, {"[i32]"}, None)
    if values is None:
        return 1
    if not isinstance(values, tuple) or not all(isinstance(v, int) and v <= layers for v in values):
        raise ask.fail(f"{key} is {values!r:.60}", expected=f"layers up to {layers}")
    named = {v for v in values if isinstance(v, int) and v >= 0}
    return max(len(named), 1) if projector in _LLAVA else 1


def _embeddings(ask: Inspector, tower: Tower, patch: int, projector: str) -> None:
    width, tokens = tower.width, tower.side**2
    names = ["v.patch_embd.weight"]
    if projector in _QWEN:
        names.append("v.patch_embd.weight.1")
        for name in ("v.patch_embd.bias", "v.class_embd"):
            if name in ask.tensors:
                raise ask.fail(f"has the tensor {name!r}", expected=f"none with {projector}")
    for name in names:
        ask.shape(name, (patch, patch, 3, width), MATRIX)
    ask.shape("v.patch_embd.bias", (width,), F32, optional=True)
    ask.shape("v.class_embd", (width,), F32, optional=projector != "internvl")
    if projector in _LLAVA:
        tokens += "v.class_embd" in ask.tensors
        rows = ask.tensor("v.position_embd.weight")
        if len(rows.shape) != 2 or rows.shape[1] < tokens:
            raise ask.fail(
                f"the tensor {rows.name!r} has the shape {rows.shape}",
                expected=f"({width}, {tokens}): a row for each patch",
            )
        ask.shape(rows.name, (width, rows.shape[1]))
    elif projector not in _QWEN:
        tokens += projector == "internvl"
        name = "v.position_embd.weight"
        ask.shape(name, (width, tokens), F32, optional=projector != "internvl")


def _attention(ask: Inspector, tower: Tower, block: str, projector: str) -> None:
    width = tower.width
    fused = f"{block}.attn_qkv.weight" in ask.tensors and projector not in _LLAVA | _QWEN
    if fused:
        ask.shape(f"{block}.attn_qkv.weight", (width, 3 * width))
        ask.shape(f"{block}.attn_qkv.bias", (3 * width,), F32, optional=True)
    for part in ("attn_out",) if fused else ("attn_q", "attn_k", "attn_v", "attn_out"):
        ask.shape(f"{block}.{part}.weight", (width, width))
        free = projector not in _QWEN or part == "attn_out"
        ask.shape(f"{block}.{part}.bias", (width,), F32, optional=free)
    norms = {f"{block}.attn_{part}_norm.weight" for part in "qk"} & ask.tensors.keys()
    if projector in _LLAVA | _QWEN:
        norms = set()
    # One decides for both whether they come before or after the heads are parted.
    sizes = {ask.tensors[n].shape for n in norms}
    if len(sizes) > 1:
        raise ask.fail(f"{block} has norms of queries and keys of unlike sizes {sizes}")
    per_head = sizes == {(width // tower.heads,)}
    for name in norms:
        ask.shape(name, (width // tower.heads if per_head or fused else width,), F32)
    for part in ("ln1", "ln2"):
        ask.shape(f"{block}.{part}.weight", (width,), F32, optional=True)
        ask.shape(f"{block}.{part}.bias", (width,), F32, optional=True)
    for part in ("ls1", "ls2", "out_scale", "attn_post_norm", "ffn_post_norm"):
        ask.shape(f"{block}.{part}.weight", (width,), F32, optional=True)


def _feed_forward(ask: Inspector, tower: Tower, block: str, projector: str) -> None:
    width = tower.width
    if f"{block}.ffn_gate_exps.weight" in ask.tensors:
        raise ask.fail(f"{block} has experts", expected=f"none with {projector}")
    up, down = "ffn_up", "ffn_down"
    # Old converters named the two the wrong way round; llama.cpp tells by the first axis.
    if ask.tensor(f"{block}.ffn_down.weight").shape[:1] == (width,) and projector != "internvl":
        up, down = down, up
    shape = ask.tensor(f"{block}.{up}.weight").shape
    inner = shape[1] if len(shape) > 1 else 1
    ask.shape(f"{block}.{up}.weight", (width, inner))
    ask.shape(f"{block}.{up}.bias", (inner,), F32, optional=True)
    ask.shape(f"{block}.ffn_gate.weight", (width, inner), optional=True)
    ask.shape(f"{block}.ffn_gate.bias", (inner,), F32, optional=True)
    ask.shape(f"{block}.{down}.weight", (inner, width))
    ask.shape(f"{block}.{down}.bias", (width,), F32, optional=True)
