"""Tiny GGUF pairs, random or scripted: real files for the real llama.cpp, in milliseconds.

The vision file is a SigLIP-type tower (no CLS token) under an ``mlp`` projector, the text file a
llama with a byte-level BPE vocabulary: the kind of pair this project trains, without torch.

    python tiny_pair.py OUTDIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["CHAT_TEMPLATE", "SPECIAL", "TinyPair", "byte_token", "write_pair"]

SPECIAL = (
    "<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<start_of_image>", "<end_of_image>",
)  # fmt: skip

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|assistant|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(spare)) for b in range(256)]


def byte_token(byte: int) -> int:
    """Return the token id of a single byte."""
    return len(SPECIAL) + byte


@dataclass(frozen=True)
class TinyPair:
    """Sizes of a pair; every field may be changed.

    `says` makes a model that always speaks the same token ids and then ends: whatever token comes
    first, the next is ``says[0]``, and ``says[i]`` is followed by ``says[i + 1]``. Ids must differ.
    `endless` lets it begin again where it would end; weights drawn at random end when they please.
    `gemma` writes Gemma 3's projector in place of `mlp`: 16 patches become one token, all tokens of
    an image see each other, and llama.cpp puts special tokens around them.
    `joins` above 1 writes InternVL's: that many patches a side become one token, behind a tower
    with a class token; llama.cpp encodes several pictures at once with it.
    `projects_to` sets the width the projector writes, to make one that fits no language model.
    `merges` is the number of two-letter tokens on top of the 256 bytes.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    merges: int = 60
    context: int = 512
    side: int = 28
    patch: int = 7
    tower_width: int = 48
    tower_layers: int = 2
    seed: int = 0
    template: str | None = CHAT_TEMPLATE
    says: Sequence[int] = ()
    endless: bool = False
    gemma: bool = False
    joins: int = 1
    projects_to: int | None = None
    dtype: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32
    text_metadata: dict[str, str] = field(default_factory=dict)

    @property
    def vocab(self) -> int:
        """Number of tokens."""
        return len(SPECIAL) + 256 + self.merges

    @property
    def image_tokens(self) -> int:
        """Number of image tokens."""
        return (self.side // self.patch) ** 2 // (16 if self.gemma else self.joins**2)


def write_pair(folder: Path, pair: TinyPair | None = None) -> tuple[Path, Path]:
    """Write ``text.gguf`` and ``mmproj.gguf`` into `folder` and return their paths."""
    pair = pair or TinyPair()
    folder.mkdir(parents=True, exist_ok=True)
    text, mmproj = folder / "text.gguf", folder / "mmproj.gguf"
    _write_text(text, pair)
    _write_mmproj(mmproj, pair)
    return text, mmproj


class _Tensors:
    """Draws weights from one seed and hands them to a writer."""

    def __init__(self, out: gguf.GGUFWriter, pair: TinyPair, salt: int) -> None:
        self.out = out
        self.dtype = pair.dtype
        self.random = np.random.default_rng([pair.seed, salt])

    def matrix(self, name: str, rows: int, columns: int, *, gain: float = 1.0) -> None:
        draw = self.random.standard_normal((rows, columns), dtype=np.float32)
        self.put(name, draw * np.float32(gain / columns**0.5))

    def ones(self, name: str, size: int) -> None:
        self.out.add_tensor(name, np.ones(size, np.float32))

    def zeros(self, name: str, size: int) -> None:
        self.out.add_tensor(name, np.zeros(size, np.float32))

    def put(self, name: str, values: np.ndarray) -> None:
        if self.dtype == gguf.GGMLQuantizationType.F32 or values.shape[-1] % 32:
            self.out.add_tensor(name, values)
        else:
            packed = gguf.quants.quantize(values, self.dtype)
            self.out.add_tensor(name, packed, raw_dtype=self.dtype)


def _vocabulary(pair: TinyPair) -> tuple[list[str], list[str]]:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    twos = ["".join(p) for p in product(letters, repeat=2)]
    merges = [f"{w[0]} {w[1]}" for w in twos]
    merges += [f"{w} {c}" for w in twos for c in letters]
    if not 1 <= pair.merges <= len(merges):
        raise ValueError(f"from 1 to {len(merges)} merges: llama.cpp wants some")
    merges = merges[: pair.merges]
    return [*SPECIAL, *_byte_alphabet(), *(m.replace(" ", "") for m in merges)], merges


def _write_text(path: Path, pair: TinyPair) -> None:
    tokens, merges = _vocabulary(pair)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_block_count(pair.layers)
    out.add_context_length(pair.context)
    out.add_embedding_length(_text_width(pair))
    out.add_feed_forward_length(2 * pair.width)
    out.add_head_count(pair.heads)
    out.add_head_count_kv(pair.heads)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(_text_width(pair) // pair.heads)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    out.add_token_types([control if i < len(SPECIAL) else normal for i in range(len(tokens))])
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    out.add_pad_token_id(2)
    out.add_add_bos_token(True)
    if pair.template is not None:
        out.add_chat_template(pair.template)
    for key, value in pair.text_metadata.items():
        out.add_string(key, value)
    _add_text_weights(_Tensors(out, pair, salt=1), pair)
    _finish(out)


def _text_width(pair: TinyPair) -> int:
    # A scripted model has one dimension a token: its next token is then exact, not likely.
    step = 8 * pair.heads
    return -(-pair.vocab // step) * step if pair.says else pair.width


def _add_text_weights(put: _Tensors, pair: TinyPair) -> None:
    width = _text_width(pair)
    if pair.says:
        put.put("token_embd.weight", np.eye(pair.vocab, width, dtype=np.float32))
        put.put("output.weight", _script(pair, width))
    else:
        put.matrix("token_embd.weight", pair.vocab, width, gain=width**0.5)
        put.matrix("output.weight", pair.vocab, width, gain=3.0)
    put.ones("output_norm.weight", width)
    # With silent blocks, what comes in goes out: the scripted next token depends on the last alone.
    gain = 0.0 if pair.says else 1.0
    for i in range(pair.layers):
        for name in ("attn_q", "attn_k", "attn_v"):
            put.matrix(f"blk.{i}.{name}.weight", width, width, gain=2.0)
        put.matrix(f"blk.{i}.attn_output.weight", width, width, gain=gain)
        put.matrix(f"blk.{i}.ffn_gate.weight", 2 * pair.width, width)
        put.matrix(f"blk.{i}.ffn_up.weight", 2 * pair.width, width)
        put.matrix(f"blk.{i}.ffn_down.weight", width, 2 * pair.width, gain=gain)
        put.ones(f"blk.{i}.attn_norm.weight", width)
        put.ones(f"blk.{i}.ffn_norm.weight", width)


def _script(pair: TinyPair, width: int) -> np.ndarray:
    says = list(pair.says)
    if len(set(says)) != len(says):
        raise ValueError("a scripted token can be said once only")
    follows = np.full(pair.vocab, says[0])
    follows[says] = [*says[1:], says[0] if pair.endless else SPECIAL.index("</s>")]
    out = np.zeros((pair.vocab, width), np.float32)
    out[follows, np.arange(pair.vocab)] = 1.0
    return out


def _write_mmproj(path: Path, pair: TinyPair) -> None:
    width, hidden = pair.tower_width, 2 * pair.tower_width
    projected = pair.projects_to or _text_width(pair)
    out = gguf.GGUFWriter(path, "clip")
    out.add_bool("clip.has_vision_encoder", True)
    kind = "gemma3" if pair.gemma else "mlp" if pair.joins == 1 else "internvl"
    out.add_string("clip.projector_type", kind)
    out.add_bool("clip.use_gelu", True)
    sizes = {
        "image_size": pair.side,
        "patch_size": pair.patch,
        "embedding_length": width,
        "feed_forward_length": hidden,
        "block_count": pair.tower_layers,
        "projection_dim": projected,
        "attention.head_count": 4,
    }
    for key, value in sizes.items():
        out.add_uint32(f"clip.vision.{key}", value)
    out.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    if pair.joins == 1:
        # Without this llama.cpp takes the last layer but one.
        out.add_array("clip.vision.feature_layer", [pair.tower_layers])
    else:
        out.add_uint32("clip.vision.projector.scale_factor", pair.joins)
        out.add_uint32("clip.vision.preproc_min_tiles", 1)
        out.add_uint32("clip.vision.preproc_max_tiles", 1)
    out.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    out.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    put = _Tensors(out, pair, salt=2)
    pixels = 3 * pair.patch**2
    patches = put.random.standard_normal((width, 3, pair.patch, pair.patch), dtype=np.float32)
    out.add_tensor("v.patch_embd.weight", patches * np.float32(2.0 / pixels**0.5))
    put.zeros("v.patch_embd.bias", width)
    patches_and_class = (pair.side // pair.patch) ** 2 + (pair.joins > 1)
    places = put.random.standard_normal((patches_and_class, width), dtype=np.float32)
    # llama.cpp adds them as they are stored.
    out.add_tensor("v.position_embd.weight", places * np.float32(width**-0.5))
    if pair.joins > 1:
        put.ones("v.class_embd", width)
    for i in range(pair.tower_layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            put.matrix(f"v.blk.{i}.{name}.weight", width, width)
            put.zeros(f"v.blk.{i}.{name}.bias", width)
        put.matrix(f"v.blk.{i}.ffn_up.weight", hidden, width)
        put.zeros(f"v.blk.{i}.ffn_up.bias", hidden)
        put.matrix(f"v.blk.{i}.ffn_down.weight", width, hidden)
        put.zeros(f"v.blk.{i}.ffn_down.bias", width)
        for name in ("ln1", "ln2"):
            put.ones(f"v.blk.{i}.{name}.weight", width)
            put.zeros(f"v.blk.{i}.{name}.bias", width)
    if pair.gemma:
        put.matrix("mm.input_projection.weight", width, projected, gain=4.0)
        put.ones("mm.soft_emb_norm.weight", width)
        _finish(out)
        return
    if pair.joins > 1:
        inner = width * pair.joins**2
        put.ones("mm.model.mlp.0.weight", inner)
        put.zeros("mm.model.mlp.0.bias", inner)
        put.matrix("mm.model.mlp.1.weight", projected, inner)
        put.zeros("mm.model.mlp.1.bias", projected)
        put.matrix("mm.model.mlp.3.weight", projected, projected, gain=4.0)
        put.zeros("mm.model.mlp.3.bias", projected)
        _finish(out)
        return
    put.matrix("mm.0.weight", projected, width)
    put.zeros("mm.0.bias", projected)
    put.matrix("mm.2.weight", projected, projected, gain=4.0)
    put.zeros("mm.2.bias", projected)
    _finish(out)


def _finish(out: Any) -> None:
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    print(*write_pair(Path(sys.argv[1])))
