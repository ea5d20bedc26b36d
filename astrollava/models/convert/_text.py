"""The language model: a Llama or Qwen2 in llama.cpp's names and order."""

from __future__ import annotations

from typing import Final

import numpy as np

from astrollava.errors import UnsupportedModel
from astrollava.models.checkpoint import Checkpoint, Language, StoredTensor, Tensor

from ._needs import Needs
from ._views import Constant, PairedHalves
from ._writer import Value

__all__ = ["text_metadata", "text_tensors", "vocabulary_size"]

#: transformers' name inside a layer -> llama.cpp's.
_MATRICES: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMS: Final = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def vocabulary_size(checkpoint: Checkpoint) -> int:
    """Return the rows of the embedding matrix, which may exceed the tokenizer's tokens."""
    tensor = Needs(checkpoint.tensors).tensor("language.embed_tokens.weight")
    return tensor.shape[0] if tensor.shape else 0


def text_metadata(language: Language, tokens: int) -> dict[str, Value]:
    """Return the keys that tell llama.cpp the model's sizes."""
    arch, rope = language.architecture, language.rope
    keys: dict[str, Value] = {
        f"{arch}.vocab_size": tokens,
        f"{arch}.context_length": language.context,
        f"{arch}.embedding_length": language.width,
        f"{arch}.feed_forward_length": language.inner,
        f"{arch}.block_count": language.layers,
        f"{arch}.attention.head_count": language.heads,
        f"{arch}.attention.head_count_kv": language.shared_heads,
        f"{arch}.attention.key_length": language.head_length,
        f"{arch}.attention.value_length": language.head_length,
        f"{arch}.attention.layer_norm_rms_epsilon": language.epsilon,
        f"{arch}.rope.dimension_count": language.head_length,
        f"{arch}.rope.freq_base": rope.base,
    }
    if rope.scaling in ("linear", "yarn"):
        keys[f"{arch}.rope.scaling.type"] = rope.scaling
        keys[f"{arch}.rope.scaling.factor"] = rope.factor
    if rope.scaling == "yarn":
        keys[f"{arch}.rope.scaling.original_context_length"] = rope.original
    return keys


def text_tensors(checkpoint: Checkpoint) -> list[tuple[str, Tensor]]:
    """Return the language model's tensors under llama.cpp's names.

    Raises
    ------
    InvalidCheckpoint
        A weight is missing, or of another shape than the configuration says.
    UnsupportedModel
        There are weights llama.cpp would not use.
    """
    language, needs = checkpoint.language, Needs(checkpoint.tensors)
    width, tokens = language.width, vocabulary_size(checkpoint)
    embeddings = needs.take("language.embed_tokens.weight", (tokens, width))
    found = [("token_embd.weight", embeddings)]
    head = needs.take("language.lm_head.weight", (tokens, width), optional=language.tied)
    # Tied embeddings: llama.cpp reuses token_embd where there is no output matrix.
    if head is not None and not _same(head, embeddings):
        found.append(("output.weight", head))
    found.append(("output_norm.weight", needs.take("language.norm.weight", (width,))))
    if language.rope.scaling == "llama3":
        divisors = np.array(language.rope.divisors(language.head_length), np.float32)
        found.append(("rope_freqs.weight", Constant("rope_freqs.weight", divisors)))
    for i in range(language.layers):
        found += _layer(language, needs, i)
    if rest := needs.rest("language."):
        raise UnsupportedModel(
            f"the language model has {len(rest)} weights that a {language.architecture} has not, "
            f"such as {rest[0]}",
            expected="a plain Llama, Mistral or Qwen2",
        )
    return found


def _layer(language: Language, needs: Needs, number: int) -> list[tuple[str, Tensor]]:
    width, inner, length = language.width, language.inner, language.head_length
    queries, shared = language.heads * length, language.shared_heads * length
    shapes = {
        "attn_q": (queries, width),
        "attn_k": (shared, width),
        "attn_v": (shared, width),
        "attn_output": (width, queries),
        "ffn_gate": (inner, width),
        "ffn_up": (inner, width),
        "ffn_down": (width, inner),
    }
    place, block = f"language.layers.{number}", f"blk.{number}"
    found: list[tuple[str, Tensor]] = []
    for theirs, ours in _MATRICES.items():
        # Qwen2 has biases of queries, keys and values; a Llama may have any.
        for kind, shape in (("weight", shapes[ours]), ("bias", shapes[ours][:1])):
            must = kind == "weight" or (
                language.architecture == "qwen2" and ours in ("attn_q", "attn_k", "attn_v")
            )
            tensor = needs.take(f"{place}.{theirs}.{kind}", shape, optional=not must)
            if tensor is None:
                continue
            if language.architecture == "llama" and ours in ("attn_q", "attn_k"):
                tensor = PairedHalves(tensor, length)
            found.append((f"{block}.{ours}.{kind}", tensor))
    for theirs, ours in _NORMS.items():
        found.append((f"{block}.{ours}.weight", needs.take(f"{place}.{theirs}.weight", (width,))))
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    """Say whether two names stand for the same bytes, as tied weights in .bin files do."""
    both_stored = isinstance(one, StoredTensor) and isinstance(other, StoredTensor)
    return both_stored and one.place == other.place
