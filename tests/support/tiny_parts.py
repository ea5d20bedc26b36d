"""What a two-stage recipe begins with, tiny: folders of a tower, a language model, and data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["SAYINGS", "clip_tower", "language_model", "siglip_tower", "write_data"]

SIDE, PATCH, WIDTH = 56, 14, 64

SAYINGS = (
    ("What is this?", "A red disk."),
    ("What is this?", "A green disk."),
    ("What is this?", "A blue disk."),
)
_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
_CORPUS = (
    f"{_SYSTEM} USER: \nWhat is this? ASSISTANT:",
    *(f"{question} {answer}" for question, answer in SAYINGS),
)


def tokenizer(folder: Path, vocab_size: int = 420) -> int:
    """Write a byte-level BPE tokenizer that knows no picture; return its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS * 20, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "add_bos_token": True,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return int(bpe.get_vocab_size())


def vicuna_tokenizer(folder: Path) -> int:
    """Write a tokenizer as Vicuna's repository holds it: a ``tokenizer.model`` alone."""
    import tiny_tokenizers

    bpe = tiny_tokenizers.llama(folder, "normalizer", files="model")
    config = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": True,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return int(bpe.get_vocab_size())


def language_model(
    folder: Path,
    kind: str = "llama",
    *,
    tied: bool = False,
    words: Callable[[Path], int] | None = None,
) -> Path:
    """Write a language model of two layers with random weights, and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    tokens = (words or tokenizer)(folder)
    classes = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
    make, model = classes[kind]
    torch.manual_seed(3)
    net: Any = model(
        make(
            vocab_size=tokens, hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
            rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1, tie_word_embeddings=tied,
        )
    )  # fmt: skip
    net.save_pretrained(folder)
    return folder


def in_turns(folder: Path) -> Path:
    """Give a language model a chat template, as Qwen's: turns of text between tokens of its own."""
    path = folder / "tokenizer.json"
    text = path.read_text().replace('"<s>"', '"<|im_start|>"').replace('"</s>"', '"<|im_end|>"')
    path.write_text(text)
    template = (
        "{%- if messages[0]['role'] == 'system' %}"
        "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
        "{%- else %}{{- '<|im_start|>system\\nYou are small.<|im_end|>\\n' }}{%- endif %}"
        "{%- for message in messages %}{%- if message.role in ('user', 'assistant') %}"
        "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
        "{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["bos_token"]
    config |= {"eos_token": "<|im_end|>", "add_bos_token": False, "chat_template": template}
    path.write_text(json.dumps(config))
    return folder


def _vision() -> dict[str, int]:
    return {
        "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 1, "image_size": SIDE, "patch_size": PATCH,
    }  # fmt: skip


def clip_tower(folder: Path, *, whole: bool = False, seed: int = 1) -> Path:
    """Write a CLIP tower by itself, or, as OpenAI's are, with its text encoder."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(seed)
    if whole:
        text = {
            "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 77, "eos_token_id": 1,
        }  # fmt: skip
        config = CLIPConfig(vision_config=_vision(), text_config=text, projection_dim=16)
        net: Any = CLIPModel(config)
    else:
        net = CLIPVisionModel(CLIPVisionConfig(**_vision()))
    _louder(net)
    net.save_pretrained(folder)
    return folder


def siglip_tower(folder: Path) -> Path:
    """Write a SigLIP tower by itself, with numbers of its own for its pictures."""
    import torch
    from transformers import SiglipVisionConfig, SiglipVisionModel

    torch.manual_seed(2)
    net: Any = SiglipVisionModel(SiglipVisionConfig(**_vision()))
    _louder(net)
    net.save_pretrained(folder)
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def _louder(net: Any) -> None:
    """Make a tower tell pictures apart: random weights of the usual size hardly do."""
    import torch

    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.12)


def write_data(root: Path, count: int = 48) -> Path:
    """Write pictures of disks in three colours, captions and conversations about them."""
    random = np.random.default_rng(5)
    (root / "images").mkdir(parents=True)
    y, x = np.mgrid[:48, :64]
    captions, conversations = [], []
    for number in range(count):
        colour = number % 3
        picture = random.integers(0, 30, (48, 64, 3), dtype=np.uint8)
        inside = (x - random.integers(24, 40)) ** 2 + (y - random.integers(18, 30)) ** 2 < 400
        picture[..., colour][inside] = 230
        name = f"images/{number}.png"
        Image.fromarray(picture).save(root / name)
        question, answer = SAYINGS[colour]
        told = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": answer}]
        captions.append({"id": f"c{number}", "image": name, "conversations": told})
        asked = [
            {"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer},
        ]  # fmt: skip
        conversations.append({"id": f"q{number}", "image": name, "conversations": asked})
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "conversations.json").write_text(json.dumps(conversations))
    return root


def both_encoders(folder: Path, kind: str) -> Path:
    """Write a CLIP or SigLIP with a text encoder and a tokenizer of its own."""
    import torch
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    tokens = tokenizer(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "</s>"}))
    text = {
        "vocab_size": tokens, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16, "bos_token_id": 0,
        "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(6)
    if kind == "clip":
        net: Any = CLIPModel(
            CLIPConfig(vision_config=_vision(), text_config=text, projection_dim=16)
        )
    else:
        # Its picture and its text are compared as they are: both of one width.
        text |= {"hidden_size": WIDTH, "projection_size": WIDTH}
        net = SiglipModel(SiglipConfig(vision_config=_vision(), text_config=text))
        # As Zhai et al. (2023, arXiv:2303.15343) begin, but for batches of sixteen.
        net.logit_scale.data.fill_(2.3)
        net.logit_bias.data.fill_(-3.0)
    net.save_pretrained(folder)
    return folder
