"""LLaVA checkpoints of random weights, in every layout the converter reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tiny_llava

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "TEMPLATE",
    "Words",
    "model",
    "save",
    "save_lora",
    "save_original",
    "save_projector",
    "state",
    "tokenizer",
]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)

_VOCABULARY = 480


class Words:
    """The tokenizer of these checkpoints, for `astrollava.parity.reference`."""

    def __init__(self) -> None:
        self._tokenizer = tiny_llava.tokenizer(_VOCABULARY)

    def around_image(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """Split the two parts of a prompt, ``<s>`` first."""
        first, second = (
            self._tokenizer.encode(part, add_special_tokens=False).ids for part in (before, after)
        )
        return [tiny_llava.SPECIALS.index("<s>"), *first], second

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))


def tokenizer(folder: Path) -> None:
    """Write a byte-level BPE tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_llava.tokenizer(_VOCABULARY).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "add_bos_token": True,
        "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def model(
    *,
    tower: str = "clip",
    language: str = "llama",
    text: Mapping[str, Any] | None = None,
    vision: Mapping[str, Any] | None = None,
    seed: int = 0,
    **config: Any,
) -> Any:
    """Make a LLaVA of two layers each; the mappings change the parts' configurations."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        MistralConfig,
        Qwen2Config,
        SiglipVisionConfig,
    )

    torch.manual_seed(seed)
    towers = {"clip": CLIPVisionConfig, "siglip": SiglipVisionConfig}
    languages = {"llama": LlamaConfig, "qwen2": Qwen2Config, "mistral": MistralConfig}
    seeing = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 1, "image_size": 56, "patch_size": 14, **(vision or {}),
    }  # fmt: skip
    speaking = {
        "vocab_size": _VOCABULARY, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "bos_token_id": 0,
        "eos_token_id": 1, "pad_token_id": 2, "tie_word_embeddings": False, **(text or {}),
    }  # fmt: skip
    whole = {
        "image_token_index": tiny_llava.SPECIALS.index("<image>"),
        "image_seq_length": (seeing["image_size"] // seeing["patch_size"]) ** 2,
        "vision_feature_layer": -2 if tower == "clip" else -1,
        "vision_feature_select_strategy": "default" if tower == "clip" else "full",
        "tie_word_embeddings": speaking["tie_word_embeddings"],
        **config,
    }
    parts = {
        "vision_config": towers[tower](**seeing), "text_config": languages[language](**speaking)
    }  # fmt: skip
    net: Any = LlavaForConditionalGeneration(LlavaConfig(**parts, **whole)).eval()
    return tiny_llava.widen(net)


def save(net: Any, folder: Path, dtype: str = "float32", **how: Any) -> Path:
    """Write a model as transformers does."""
    import torch

    _cast(net, dtype)
    net.save_pretrained(folder, **how)
    net.to(torch.float32)
    tokenizer(folder)
    return folder


def state(net: Any, *, with_tower: bool = True) -> dict[str, Any]:
    """Return a model's weights by the names of the original LLaVA."""
    changes = (
        ("model.language_model.", "model."),
        ("model.vision_tower.vision_model.", "model.vision_tower.vision_tower.vision_model."),
        ("model.vision_tower.", "model.vision_tower.vision_tower.vision_model."),
        ("model.multi_modal_projector.linear_1.", "model.mm_projector.0."),
        ("model.multi_modal_projector.linear_2.", "model.mm_projector.2."),
    )
    found = {}
    for name, weight in net.state_dict().items():
        ours = next((new + name[len(old) :] for old, new in changes if name.startswith(old)), name)
        if with_tower or ".vision_tower." not in ours:
            found[ours] = weight.detach().clone()
    return found


def save_original(
    net: Any, folder: Path, *, tower: Path | None = None, dtype: str = "float32", **config: Any
) -> Path:
    """Write a model in the layout of the original LLaVA, as a ``.bin`` file.

    With `tower` the vision tower is written there, as a checkpoint of its own.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    _cast(net, dtype)
    torch.save(state(net, with_tower=tower is None), folder / "pytorch_model.bin")
    text = net.config.text_config
    keys = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "vocab_size",
        "hidden_act", "tie_word_embeddings", "bos_token_id", "eos_token_id",
    )  # fmt: skip
    values = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        **{key: getattr(text, key) for key in keys},
        "rope_theta": text.rope_parameters["rope_theta"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": net.config.vision_feature_layer,
        "mm_vision_select_feature": "patch",
        "mm_vision_tower": tower.name if tower else "openai/clip-vit-large-patch14",
        "image_aspect_ratio": "pad",
        **config,
    }
    (folder / "config.json").write_text(json.dumps(values))
    if tower is not None:
        net.model.vision_tower.save_pretrained(tower)
    net.to(torch.float32)
    tokenizer(folder)
    return folder


def save_lora(
    net: Any, base: Path, folder: Path, *, rank: int = 4, alpha: float = 8.0, **config: Any
) -> Path:
    """Change a model by a LoRA adapter and a new projector, and write only those.

    `base` is the model as it was; it is written in the layout of the original LLaVA. Afterwards
    `net` is what the two together make.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    save_original(net, base)
    factors: dict[str, Any] = {}
    others: dict[str, Any] = {}
    by_root = bool(config.get("use_rslora"))
    with torch.no_grad():
        for i, layer in enumerate(net.model.language_model.layers):
            for part in ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"):
                linear = layer.get_submodule(part)
                a = torch.randn(rank, linear.in_features) * 0.2
                b = torch.randn(linear.out_features, rank) * 0.2
                linear.weight += alpha / (rank**0.5 if by_root else rank) * b @ a
                name = f"base_model.model.model.layers.{i}.{part}"
                factors |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
        for number, part in (("0", "linear_1"), ("2", "linear_2")):
            linear = getattr(net.model.multi_modal_projector, part)
            linear.weight.normal_(std=0.06)
            name = f"base_model.model.model.mm_projector.{number}"
            others[f"{name}.weight"] = linear.weight.detach().clone()
            others[f"{name}.bias"] = linear.bias.detach().clone()
    values = {
        "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none",
        "base_model_name_or_path": f"/somewhere/else/{base.name}", "init_lora_weights": True,
        **config,
    }  # fmt: skip
    torch.save(factors, folder / "adapter_model.bin")
    torch.save(others, folder / "non_lora_trainables.bin")
    (folder / "adapter_config.json").write_text(json.dumps(values))
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())
    return folder


def save_projector(net: Any, base: Path, folder: Path) -> Path:
    """Write a model as its projector alone, and the language model of `base` without one."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    save_original(net, base, tower=base.parent / "clip-tower")
    whole = torch.load(base / "pytorch_model.bin")
    projector = {name: weight for name, weight in whole.items() if ".mm_projector." in name}
    torch.save({n: w for n, w in whole.items() if n not in projector}, base / "pytorch_model.bin")
    torch.save(projector, folder / "mm_projector.bin")
    values = json.loads((base / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**values, "_name_or_path": base.name}))
    return folder


def _cast(net: Any, dtype: str) -> None:
    """Round the weights, so that what is written is what the model in memory computes with."""
    import torch

    net.to(getattr(torch, dtype))
