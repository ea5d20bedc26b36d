"""A LLaVA of the embedded model's shape, with random weights."""

from __future__ import annotations

from typing import Any

SPECIALS = ("<s>", "</s>", "<pad>", "<image>")

_CORPUS = (
    "This is a barred spiral galaxy seen face-on. It has two loosely wound arms and a small bulge.",
    "USER: Is there a bar? ASSISTANT: Yes, there is a bar. No, there is no bar. It's edge-on.",
    "The picture shows a smooth and round galaxy without spiral arms, 3 arms, 12 sources.",
)


def tokenizer(vocab_size: int = 480) -> Any:
    """Train a byte-level BPE tokenizer on a few sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS * 20, trainer)
    return bpe


def model(
    vocab_size: int,
    *,
    image_size: int = 120,
    patch_size: int = 12,
    layers: int = 2,
    heads: int = 3,
    key_value_heads: int = 3,
    hidden: int = 192,
    text_hidden: int = 192,
    feature_layer: int = -1,
    tied: bool = False,
    projector_act: str = "gelu",
    seed: int = 0,
) -> Any:
    """Make the model, with the weights of `widen`."""
    import torch
    from transformers import (
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        SiglipVisionConfig,
    )

    torch.manual_seed(seed)
    tower = SiglipVisionConfig(
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=image_size,
        patch_size=patch_size,
        vision_use_head=False,
    )
    language = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=text_hidden,
        intermediate_size=2 * text_hidden,
        num_hidden_layers=layers,
        num_attention_heads=2 * key_value_heads if key_value_heads != heads else heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=tied,
    )
    net: Any = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower,
            text_config=language,
            image_token_index=SPECIALS.index("<image>"),
            image_seq_length=(image_size // patch_size) ** 2,
            vision_feature_layer=feature_layer,
            vision_feature_select_strategy="full",
            projector_hidden_act=projector_act,
            tie_word_embeddings=tied,
        )
    ).eval()
    return widen(net)


def widen(net: Any) -> Any:
    """Give a model random weights wide enough that its greedy choices are clear, in place."""
    import torch

    head = net.lm_head.weight
    tied = head.data_ptr() == net.model.language_model.embed_tokens.weight.data_ptr()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.06)
            elif name.endswith("bias"):
                # Zero biases would hide one that is lost or taken for another.
                weight.normal_(std=0.3)
        # A random head is nearly flat, and rounding would decide its greedy choices. Rows of zero
        # keep specials and single bytes, which make broken UTF-8, out of them.
        if not tied:
            head.normal_(std=0.5)
            head[: len(SPECIALS) + 256] = 0.0
    return net
