"""What a language model's header must say for llama.cpp to survive it.

Most faults make llama.cpp refuse a file; what stands here are those that make it abort
(``GGML_ASSERT`` in ``llama-model.cpp``, ``llama-vocab.cpp`` and the graphs) and what the
rest of astrollava relies on. Unknown keys and tensors pass.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from ._formats import WEIGHT_TYPES, WHAT_IT_IS
from ._header import GGUFHeader, LazyArray
from ._inspect import F32, Inspector

__all__ = ["CHECKED_ARCHITECTURES", "check_text"]

#: Architectures whose graphs were read for their assertions and fuzzed.
CHECKED_ARCHITECTURES: Final = frozenset({"gemma3", "llama", "qwen2", "qwen2vl", "qwen3"})

#: Tokenizers of chat models. The others of llama.cpp abort on vocabularies that are not theirs.
_TOKENIZERS: Final = ("gpt2", "llama", "gemma4")

_ROPE_SCALING: Final = ("none", "linear", "yarn", "longrope")
_BYTE_TOKEN: Final = re.compile(rb"<0x[0-9A-F]{2}>")
_BYTE_TYPE: Final = 6


def check_text(header: GGUFHeader) -> None:
    """Raise `InvalidModelFile` unless the file is a language model llama.cpp can bear."""
    ask = Inspector(header)
    architecture = _architecture(ask)
    _sizes(ask, architecture)
    _attention(ask, architecture)
    _rope(ask, architecture)
    _experts(ask, architecture)
    tokens = _vocabulary(ask)
    _weights(ask, architecture, tokens)


def _architecture(ask: Inspector) -> str:
    architecture = ask.text("general.architecture")
    if architecture is None:
        raise ask.fail("does not say its architecture", expected="general.architecture")
    kind = ask.text("general.type")
    if kind == "adapter" or ask.has("adapter.type"):
        raise ask.fail(
            f"is a LoRA adapter for {architecture}, not a model",
            hint="Merge it into its base model and convert that",
        )
    if architecture == "clip" or kind == "mmproj":
        raise ask.fail(
            "is a vision projector (mmproj), not a language model",
            expected="the text model's file",
            hint="The two files may be swapped: give this one as mmproj",
        )
    if architecture in WHAT_IT_IS or kind in WHAT_IT_IS:
        what = WHAT_IT_IS.get(architecture) or WHAT_IT_IS[str(kind)]
        raise ask.fail(f"is {what}", expected="a language model for chat")
    if not re.fullmatch(r"[a-z0-9._-]{1,40}", architecture):
        raise ask.fail(
            f"has the architecture {architecture!r:.60}", expected="a name such as llama"
        )
    parts = ask.value("split.count", {"u16"}, None)
    if isinstance(parts, int) and parts > 1:
        raise ask.fail(
            f"is one of {parts} parts of a model",
            expected="the model in one file",
            hint="Join the parts with llama-gguf-split --merge",
        )
    if not ask.tensors:
        raise ask.fail("holds a vocabulary without weights", expected="a language model")
    return architecture


def _sizes(ask: Inspector, arch: str) -> None:
    ask.integer(f"{arch}.context_length", 1, 1 << 27)
    ask.integer(f"{arch}.embedding_length", 1, 1 << 18)
    layers = ask.integer(f"{arch}.block_count", 1, 512)
    ask.integer(f"{arch}.nextn_predict_layers", 0, layers - 1, default=0)
    ask.integers(f"{arch}.feed_forward_length", 0, 1 << 24, layers)
    for key in ("layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon"):
        ask.real(f"{arch}.attention.{key}", least=0.0)
    if not ask.flag(f"{arch}.attention.causal", default=True):
        raise ask.fail("attends to what comes later", expected="a model that writes text")
    if ask.integer(f"{arch}.pooling_type", 0, 4, default=0):
        raise ask.fail("pools its outputs", expected="a model that writes text, not embeddings")


def _attention(ask: Inspector, arch: str) -> None:
    width = ask.integer(f"{arch}.embedding_length", 1, 1 << 18)
    layers = ask.integer(f"{arch}.block_count", 1, 512)
    key = f"{arch}.attention.head_count"
    heads = ask.integers(key, 0, 4096, layers)
    # In models that mix attention with other blocks some layers have none.
    if not heads or not max(heads) or (heads[0] == 0 and arch in CHECKED_ARCHITECTURES):
        raise ask.fail(f"{key} is {heads[:1] or 'missing'}", expected="at least one head")
    shared = ask.integers(f"{key}_kv", 0, 4096, layers) or heads
    for i, (query, kv) in enumerate(zip(heads, shared, strict=True)):
        none = not query or arch not in CHECKED_ARCHITECTURES
        if kv > query or not (query % kv == 0 if kv else none):
            raise ask.fail(
                f"layer {i} has {query} heads and {kv} key-value heads",
                expected="key-value heads that divide the heads",
            )
    # Others have graphs for that; these take the first layer's numbers for all.
    if arch in CHECKED_ARCHITECTURES and len({*zip(heads, shared, strict=True)}) > 1:
        raise ask.fail(f"{key} differs from layer to layer", expected=f"the same in {arch}")
    stated = ask.has(f"{arch}.attention.key_length")
    if not stated and heads[0] and width % heads[0]:
        raise ask.fail(
            f"{key} is {heads[0]}", expected=f"a divisor of the embedding length {width}"
        )
    ask.integer(f"{arch}.attention.key_length", 1, 8192, default=width // max(heads[0], 1))
    ask.integer(f"{arch}.attention.value_length", 1, 8192, default=width // max(heads[0], 1))
    _sliding_window(ask, arch, layers)


def _sliding_window(ask: Inspector, arch: str, layers: int) -> None:
    key = f"{arch}.attention.sliding_window_pattern"
    # A cache is made for it; near 2**31 the reckoning of its size overflows.
    window = any(ask.integers(f"{arch}.attention.sliding_window", 0, 1 << 24, layers))
    pattern = ask.value(key, {"u32", "[bool]", "[u32]", "[i32]"}, None)
    if pattern is None or not window:
        return
    if isinstance(pattern, tuple):
        none = len(pattern) > 512 or not any(pattern[:layers])
    else:
        none = pattern == 1
    if none:
        raise ask.fail(
            f"{key} is {pattern!r:.60}", expected="at least one layer with a sliding window"
        )


def _rope(ask: Inspector, arch: str) -> None:
    scaling = ask.text(f"{arch}.rope.scaling.type")
    if scaling is not None and scaling not in _ROPE_SCALING:
        raise ask.fail(
            f"{arch}.rope.scaling.type is {scaling!r:.40}", expected=", ".join(_ROPE_SCALING)
        )
    ask.real(f"{arch}.rope.freq_base", above=0.0)
    ask.real(f"{arch}.rope.freq_base_swa", above=0.0)
    for key in ("scaling.factor", "scale_linear", "scaling.attn_factor"):
        ask.real(f"{arch}.rope.{key}", least=0.0)
    ask.integer(f"{arch}.rope.scaling.original_context_length", 1, 1 << 27, default=1)
    width = ask.integer(f"{arch}.embedding_length", 1, 1 << 18)
    layers = ask.integer(f"{arch}.block_count", 1, 512)
    head = width // max(ask.integers(f"{arch}.attention.head_count", 0, 4096, layers)[0], 1)
    length = ask.integer(f"{arch}.attention.key_length", 1, 8192, default=head)
    value = ask.integer(f"{arch}.attention.value_length", 1, 8192, default=head)
    turned = ask.integer(f"{arch}.rope.dimension_count", 0, 8192, default=length)
    if turned % 2 or turned > length:
        raise ask.fail(
            f"{arch}.rope.dimension_count is {turned}", expected=f"even and at most {length}"
        )
    if arch in CHECKED_ARCHITECTURES and (value != length or turned != length):
        raise ask.fail(
            f"has keys of {length}, values of {value} and rotates {turned} dimensions of a head",
            expected="the same number thrice",
        )
    _rope_of_windows(ask, arch, length, value, turned)
    key = f"{arch}.rope.dimension_sections"
    if arch == "qwen2vl" or ask.has(key):
        sections = ask.integers(key, 0, length, 4)
        # Asserted by ggml's rope; the fourth, which no image token uses, does not count as one.
        if arch == "qwen2vl" and not (any(sections[:3]) and sum(sections) <= length):
            raise ask.fail(
                f"{key} is {sections}",
                expected=f"sizes that add up to {length} at most, not all of the first three zero",
            )


def _rope_of_windows(ask: Inspector, arch: str, length: int, value: int, turned: int) -> None:
    """Check the sizes of heads that see a sliding window, which may differ from the others'."""
    length = ask.integer(f"{arch}.attention.key_length_swa", 1, 8192, default=length)
    value = ask.integer(f"{arch}.attention.value_length_swa", 1, 8192, default=value)
    key = f"{arch}.rope.dimension_count_swa"
    turned = ask.integer(key, 0, 8192, default=turned)
    exact = arch in CHECKED_ARCHITECTURES
    if turned % 2 or turned > length or (exact and not length == value == turned):
        raise ask.fail(
            f"in a sliding window it has keys of {length}, values of {value} and rotates {turned} "
            "dimensions of a head",
            expected="the same number thrice" if exact else f"{key} even and at most {length}",
        )


def _experts(ask: Inspector, arch: str) -> None:
    layers = ask.integer(f"{arch}.block_count", 1, 512)
    experts = ask.integer(f"{arch}.expert_count", 0, 1024, default=0)
    used = max(ask.integers(f"{arch}.expert_used_count", 0, 1024, layers), default=0)
    groups = ask.integer(f"{arch}.expert_group_count", 0, 1024, default=0)
    chosen = ask.integer(f"{arch}.expert_group_used_count", 0, 1024, default=0)
    good = used <= experts and bool(used) == bool(experts) and groups <= max(experts - 1, 0)
    if groups > 1:
        good = good and experts % groups == 0 and 0 < chosen < groups
    if not good:
        raise ask.fail(f"uses {used} of {experts} experts, {chosen} of {groups} groups of experts")


def _vocabulary(ask: Inspector) -> int:
    """Check the tokenizer and return the number of tokens."""
    model = ask.text("tokenizer.ggml.model")
    if model not in _TOKENIZERS:
        raise ask.fail(f"has the tokenizer {model!r:.40}", expected=", ".join(_TOKENIZERS))
    ask.text("tokenizer.ggml.pre")
    count = _length(ask, "tokenizer.ggml.tokens", {"[str]"})
    # llama.cpp falls back on token 11 where a byte-pair vocabulary names none.
    if count < 16:
        raise ask.fail(f"has {count} tokens", expected="a vocabulary")
    for key, types in (("scores", {"[f32]", "[i32]"}), ("token_type", {"[i32]"})):
        key = f"tokenizer.ggml.{key}"
        if ask.has(key) and _length(ask, key, types) != count:
            raise ask.fail(f"{key} has {_length(ask, key, types)} elements", expected=f"{count}")
    if model != "llama":
        _length(ask, "tokenizer.ggml.merges", {"[str]"})
    for name in ("bos", "eos"):
        ask.integer(f"tokenizer.ggml.{name}_token_id", 0, count - 1, default=0)
    for name in ("bos_token", "eos_token", "sep_token", "space_prefix"):
        ask.flag(f"tokenizer.ggml.add_{name}", default=False)
    _tokens(ask, count, spells_bytes=model != "gpt2")
    return count


def _length(ask: Inspector, key: str, types: set[str]) -> int:
    value = ask.value(key, types)
    assert isinstance(value, tuple | LazyArray)
    return value.length if isinstance(value, LazyArray) else len(value)


def _tokens(ask: Inspector, count: int, *, spells_bytes: bool) -> None:
    """Check what llama.cpp takes for granted of tokens: unlike, and able to spell any byte."""
    key = "tokenizer.ggml.token_type"
    types = ask.header.numbers(key) if ask.has(key) else ()
    seen: set[bytes] = set()
    bytes_spelt = 0
    for i, raw in enumerate(ask.header.strings("tokenizer.ggml.tokens")):
        token = raw.partition(b"\0")[0] or b"[EMPTY_%d]" % i
        if token in seen:
            raise ask.fail(f"token {i} is the same as one before: {token[:40]!r}")
        seen.add(token)
        if len(token) == 6 and _BYTE_TOKEN.fullmatch(token):
            bytes_spelt += 1
        elif i < len(types) and types[i] == _BYTE_TYPE:
            raise ask.fail(f"token {i} stands for a byte but is {token[:40]!r}", expected="<0x0A>")
    if spells_bytes and bytes_spelt < 256:
        missing = (b for b in range(256) if b"<0x%02X>" % b not in seen and bytes([b]) not in seen)
        names = ", ".join(f"<0x{b:02X}>" for b in islice(missing, 3))
        if names:
            raise ask.fail(f"has no token for some bytes ({names})", expected="one for each of 256")


def _weights(ask: Inspector, arch: str, tokens: int) -> None:
    width = ask.integer(f"{arch}.embedding_length", 1, 1 << 18)
    ask.shape("token_embd.weight", (width, tokens))
    ask.shape("output.weight", (width, tokens), optional=True)
    ask.shape("output_norm.weight", (width,), F32, optional=arch not in CHECKED_ARCHITECTURES)
    for tensor in ask.header.tensors:
        # Norms and biases meet activations in F32 element by element: ggml knows no other pairing.
        if arch in CHECKED_ARCHITECTURES and len(tensor.shape) <= 1:
            ask.stored_as(tensor, F32)
        elif tensor.name.endswith(".weight"):
            ask.stored_as(tensor, WEIGHT_TYPES)
