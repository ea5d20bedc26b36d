"""A checkpoint's tokenizer, as its own code uses it around an image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astrollava.models.checkpoint import Checkpoint
from astrollava.parity.pixel_shuffle import FRAME

__all__ = ["CheckpointWords"]


class CheckpointWords:
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose tokenizer it is. transformers' LLaVA splits a whole prompt, image token and all, the
        original LLaVA what stands before the image and what stands after it, each on its own.

    Attributes
    ----------
    ends : frozenset of int
        Tokens that end an answer.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        folder = checkpoint.tokenizer_folder
        self._tokenizer = _tokenizer(folder)
        self._settings = _json(folder / "tokenizer_config.json")
        config = checkpoint.config
        text = config.get("text_config")
        text = text if isinstance(text, dict) else config
        self._bos = self._beginning(text)
        self._image = None
        self._frame = FRAME if checkpoint.joined > 1 else ("", "")
        if checkpoint.layout == "hf-llava":
            token = config.get("image_token_index", config.get("image_token_id"))
            self._image = self._tokenizer.id_to_token(token) if token is not None else None
        self.ends = self._endings(checkpoint, text)

    def around_image(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """Return the tokens before and after the image of a prompt, with what begins a text."""
        if self._image is None:
            parts = [self._encode(before), self._encode(after)]
        else:
            whole = self._encode(before + self._image + after)
            at = whole.index(self._tokenizer.token_to_id(self._image))
            parts = [whole[:at], whole[at + 1 :]]
        # llama.cpp splits what it writes around such a picture by itself.
        opening, closing = (self._encode(text) for text in self._frame)
        parts = [parts[0] + opening, closing + parts[1]]
        if self._bos is not None and parts[0][:1] != [self._bos]:
            parts[0].insert(0, self._bos)
        return parts[0], parts[1]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids) if text else []

    def _beginning(self, text: Mapping[str, Any]) -> int | None:
        """Return the token put before every text, None where there is none."""
        bos = self._named("bos_token")
        if bos is None and isinstance(text.get("bos_token_id"), int):
            bos = text["bos_token_id"]
        added = self._settings.get("add_bos_token")
        if added is None:
            added = self._tokenizer.encode("a", add_special_tokens=True).ids[:1] == [bos]
        return bos if added else None

    def _endings(self, checkpoint: Checkpoint, text: Mapping[str, Any]) -> frozenset[int]:
        found = {self._named("eos_token")}
        for values in (text, _json(checkpoint.folder / "generation_config.json")):
            given = values.get("eos_token_id")
            found |= set(given if isinstance(given, list) else [given])
        return frozenset(token for token in found if isinstance(token, int))

    def _named(self, role: str) -> int | None:
        token = self._settings.get(role)
        token = token.get("content") if isinstance(token, dict) else token
        return None if token is None else self._tokenizer.token_to_id(token)


def _tokenizer(folder: Path) -> Any:
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    # Made of tokenizer.model, or of vocab.json and merges.txt.
    return AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = json.loads(path.read_text("utf-8"))
    return values if isinstance(values, dict) else {}
