"""A small data set of LLaVA's format, a tokenizer for it, and a model to train on it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import llava_checkpoints
import tiny_llava
from astrollava_training.dataset.corpus import Corpus, Source
from astrollava_training.dataset.pictures import RenderRule
from astrollava_training.llava.assemble import Pictures

__all__ = ["PICTURES", "corpus", "model", "picture", "rows", "tokenizer", "write"]

_IMAGE = tiny_llava.SPECIALS.index("<image>")
PICTURES = Pictures(
    size=56,
    rule="pad",
    background=(122, 116, 104),
    mean=llava_checkpoints.CLIP_MEAN,
    std=llava_checkpoints.CLIP_STD,
    tokens=16,
    token=_IMAGE,
    ids=(_IMAGE,) * 16,
)
_ANSWERS = (
    "This is a barred spiral galaxy seen face-on.",
    "It has two loosely wound arms and a small bulge.",
    "Yes, there is a bar. " * 4,
    "No.",
)


def picture(seed: int, side: int = 40) -> bytes:
    """Draw noise, wider than high, as a PNG file."""
    shades = np.random.default_rng(seed).integers(0, 256, (side, 2 * side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(shades).save(out, "PNG")
    return out.getvalue()


def rows(count: int) -> list[dict[str, Any]]:
    """Make rows of one to three turns; each fifth is without a picture."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        seen = number % 5 != 4
        said = []
        for turn in range(1 + number % 3):
            marker = "<image>\n" if seen and turn == 0 else ""
            answer = _ANSWERS[(number + turn) % len(_ANSWERS)]
            said += [
                {"from": "human", "value": f"{marker}Is there a bar? {number}"},
                {"from": "gpt", "value": answer},
            ]
        image = {"image": f"{number}.png"} if seen else {}
        made.append({"id": f"row-{number}", **image, "conversations": said})
    return made


def write(folder: Path, count: int) -> Path:
    """Write rows and pictures into a folder, as ``rows.json`` and ``N.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = rows(count)
    for number, row in enumerate(made):
        if "image" in row:
            (folder / row["image"]).write_bytes(picture(number))
    (folder / "rows.json").write_text(json.dumps(made), "utf-8")
    return folder


def tokenizer(**tokens: Any) -> Any:
    """Return a fast tokenizer of transformers, byte-level, with LLaVA's special tokens."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tiny_llava.tokenizer(),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
        **tokens,
    )


def model(**how: Any) -> Any:
    """Return a LLaVA of two layers, with 16 tokens a picture."""
    return llava_checkpoints.model(**how)


def corpus(folder: Path, count: int, *, template: str = "v1", **change: Any) -> Corpus:
    """Make the corpus of such rows."""
    source: dict[str, Any] = {
        "files": ("rows.json",), "root": write(folder / "data", count), "images": ".",
        "template": template, "length": 512, "image": PICTURES.ids,
        "render": RenderRule(PICTURES.size, PICTURES.rule, PICTURES.background), "corrupt": 0.0,
    } | change  # fmt: skip
    return Corpus.make(Source(**source), tokenizer(), folder / "cache", workers=0)
