"""The language model: a Llama in llama.cpp's names and order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.export import storage
from astrollava_training.export.about import About
from astrollava_training.export.tokens import add_tokenizer

__all__ = ["write_text"]

_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_text(
    path: Path,
    model: Any,
    tokenizer: Any,
    *,
    name: str,
    about: About,
    quantize: str,
    chat_template: str,
    add_bos: bool,
) -> None:
    """Write the language model of a LLaVA; the arguments are those of `export`."""
    config = model.config.text_config
    if config.model_type != "llama":
        raise InvalidRequest(
            f"the language model is a {config.model_type!r}",
            expected="a Llama (model_type 'llama')",
        )
    writer = gguf.GGUFWriter(None, "llama")
    about.add_general(writer, name)
    writer.add_string("astrollava.model.name", name)
    if about.label_temperature is not None:
        writer.add_float32("astrollava.labels.temperature", about.label_temperature)
    if about.label_threshold is not None:
        writer.add_float32("astrollava.labels.threshold", about.label_threshold)
    if about.questions:
        writer.add_string("astrollava.questions", "\n".join(about.questions))
    rows = model.model.language_model.embed_tokens.weight.shape[0]
    _add_shape(writer, config, rows)
    add_tokenizer(writer, tokenizer, vocab_size=rows, chat_template=chat_template, add_bos=add_bos)
    storage.add_tensors(writer, _tensors(model), quantize)
    storage.finish(writer, path, quantize)


def _add_shape(writer: Any, config: Any, vocab_size: int) -> None:
    rope = config.rope_parameters
    if rope.get("rope_type", "default") not in ("default", "linear"):
        raise InvalidRequest(
            f"rotary positions of type {rope['rope_type']!r}", expected="'default' or 'linear'"
        )
    head = config.head_dim
    writer.add_vocab_size(vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _side_by_side(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder the rows of Q or K: Hugging Face keeps rotary halves apart, llama.cpp pairs them."""
    half = weight.shape[0] // heads // 2
    pairs = weight.reshape(heads, 2, half, *weight.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(pairs).reshape(weight.shape)


def _tensors(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    config = model.config.text_config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    language = model.model.language_model
    for key, tensor in language.state_dict().items():
        array = tensor.detach().float().cpu().numpy()
        part, _, kind = key.rpartition(".")
        if part == "embed_tokens":
            yield "token_embd.weight", array
        elif part == "norm":
            yield "output_norm.weight", array
        else:
            _, number, inner = part.split(".", 2)
            ours = _LAYER[inner]
            if ours in heads:
                array = _side_by_side(array, heads[ours])
            yield f"blk.{number}.{ours}.{kind}", array
    # Tied embeddings: llama.cpp reuses token_embd where there is no output matrix.
    if model.lm_head.weight.data_ptr() != language.embed_tokens.weight.data_ptr():
        yield "output.weight", model.lm_head.weight.detach().float().cpu().numpy()
