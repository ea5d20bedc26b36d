"""Numbers and names of the GGUF format, from llama.cpp's ``gguf.h``, ``ggml.h`` and ``llama.h``."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "ARRAY",
    "FILE_TYPES",
    "PROJECTORS",
    "SCALARS",
    "STRING",
    "TENSOR_TYPES",
    "WEIGHT_TYPES",
    "WHAT_IT_IS",
    "TensorType",
]

STRING: Final = 8
ARRAY: Final = 9

#: Value type -> (name, `struct` format). Strings and arrays have no fixed size.
SCALARS: Final[dict[int, tuple[str, str]]] = {
    0: ("u8", "B"),
    1: ("i8", "b"),
    2: ("u16", "H"),
    3: ("i16", "h"),
    4: ("u32", "I"),
    5: ("i32", "i"),
    6: ("f32", "f"),
    # llama.cpp reads a bool as one byte that is zero or not.
    7: ("bool", "?"),
    10: ("u64", "Q"),
    11: ("i64", "q"),
    12: ("f64", "d"),
}


class TensorType(NamedTuple):
    """A ggml type: its name, the elements of a block and the bytes of a block."""

    name: str
    block: int
    size: int


#: ggml type number -> type. Numbers whose support was removed are absent on purpose.
TENSOR_TYPES: Final[dict[int, TensorType]] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

#: What a matrix may be stored in. The others are for activations or indices: ggml aborts on them.
WEIGHT_TYPES: Final = frozenset(
    t.name
    for t in TENSOR_TYPES.values()
    if t.name not in {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
)

#: ``general.file_type`` -> name (``enum llama_ftype``).
FILE_TYPES: Final[dict[int, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}

#: The vision projectors of llama.cpp b-series, August 2026 (``PROJECTOR_TYPE_NAMES``).
PROJECTORS: Final = frozenset({
    "mlp", "ldp", "ldpv2", "resampler", "adapter", "qwen2vl_merger", "qwen2.5vl_merger",
    "qwen3vl_merger", "ling3vl", "step3vl", "gemma3", "gemma3nv", "gemma4v", "gemma4uv", "phi4",
    "idefics3", "pixtral", "internvl", "llama4", "qwen2.5o", "lfm2", "kimivl", "paddleocr",
    "lightonocr", "cogvlm", "janus_pro", "dots_ocr", "dots3note_v", "deepseekocr", "deepseekocr2",
    "deepseek4v", "glm4v", "glm5v", "youtuvl", "yasa2", "kimik25", "nemotron_v2_vl", "exaone4_5",
    "hunyuanvl", "minicpmv4_6", "mimovl", "minimax_m3", "granite4_vision", "muse-glimmer",
})  # fmt: skip

#: Architectures that are no chat models -> what the file is.
WHAT_IT_IS: Final[dict[str, str]] = {
    "whisper": "a speech recogniser (whisper)",
    "parakeet": "a speech recogniser (parakeet)",
    "wavtokenizer-dec": "a speech decoder (wavtokenizer)",
    "qwen3tts": "a speech generator (qwen3tts)",
    "pockettts": "a speech generator (pockettts)",
    "t5": "a translation model (t5)",
    "t5encoder": "a text encoder (t5)",
    "bert": "a text-embedding model (bert)",
    "modern-bert": "a text-embedding model (modern-bert)",
    "nomic-bert": "a text-embedding model (nomic-bert)",
    "nomic-bert-moe": "a text-embedding model (nomic-bert-moe)",
    "neo-bert": "a text-embedding model (neo-bert)",
    "jina-bert-v2": "a text-embedding model (jina-bert-v2)",
    "jina-bert-v3": "a text-embedding model (jina-bert-v3)",
    "eurobert": "a text-embedding model (eurobert)",
    "gemma-embedding": "a text-embedding model (gemma-embedding)",
    "llama-embed": "a text-embedding model (llama-embed)",
    "gemma4-assistant": "a draft model that needs another one (gemma4-assistant)",
    "eagle3": "a draft model that needs another one (eagle3)",
    "dflash": "a draft model that needs another one (dflash)",
    "dream": "a diffusion language model (dream)",
    "llada": "a diffusion language model (llada)",
    "llada-moe": "a diffusion language model (llada-moe)",
    "rnd1": "a diffusion language model (rnd1)",
    "imatrix": "an importance matrix for quantization",
    "controlvector": "a control vector",
    "sd1": "an image generator (Stable Diffusion)",
    "sdxl": "an image generator (Stable Diffusion XL)",
    "sd3": "an image generator (Stable Diffusion 3)",
    "flux": "an image generator (Flux)",
    "wan": "a video generator (Wan)",
    "ltxv": "a video generator (LTX)",
    "hyvid": "a video generator (Hunyuan)",
}
