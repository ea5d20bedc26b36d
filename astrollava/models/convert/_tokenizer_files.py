"""The files around a tokenizer: settings, added tokens, and which tokens mean what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint

__all__ = ["AddedToken", "TokenizerFolder", "mapping"]

#: Bytes of one file. The largest published ``tokenizer.json`` have some 35 MB.
_LONGEST: Final = 64 << 20
_ROLES: Final = ("bos", "eos", "unk", "pad")


@dataclass(frozen=True)
class AddedToken:
    """A token beside the vocabulary that is found in text before anything else.

    Attributes
    ----------
    number : int
        Its number.
    text : str
        Its text.
    special : bool
        Whether it is left out of what a user reads.
    swallows : bool
        Whether it takes the white space beside it, or is found between words only.
    """

    number: int
    text: str
    special: bool
    swallows: bool = False


class TokenizerFolder:
    """The tokenizer's files in a checkpoint's folder, each read once and when it is asked for.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file."""
        path = self.path / name
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as error:
            raise InvalidCheckpoint(f"{path} cannot be read: {error}") from None
        if len(data) > _LONGEST:
            raise InvalidCheckpoint(f"{path} has more than {_LONGEST} bytes")
        return data

    def json(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object, empty where there is no such file."""
        data = self.read(name)
        if data is None:
            return {}
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidCheckpoint(f"{self.path / name} is no JSON ({error})") from None
        return mapping(value, name)

    @cached_property
    def tokenizer(self) -> Mapping[str, Any]:
        """``tokenizer.json``, empty where there is none."""
        return self.json("tokenizer.json")

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """``tokenizer_config.json``, empty where there is none."""
        return self.json("tokenizer_config.json")

    @cached_property
    def _named(self) -> Mapping[str, Any]:
        return self.json("special_tokens_map.json")

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        whole = self.json("config.json")
        return {**whole, **mapping(whole.get("text_config") or {}, "text_config")}

    def flag(self, key: str) -> bool | None:
        """Return a setting that is true or false, None where it is absent or null."""
        value = self.settings.get(key)
        return value if isinstance(value, bool) else None

    def special_text(self, role: str) -> str | None:
        """Return the text of the token with a role: ``"bos"``, ``"eos"``, ``"unk"``, ``"pad"``."""
        for source in (self.settings, self._named):
            value = source.get(f"{role}_token")
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str) and text:
                return text
        return None

    def configured(self, role: str) -> int | None:
        """Return the number ``config.json`` gives to the token with a role."""
        return next(iter(_numbers(self._config.get(f"{role}_token_id"))), None)

    def stops(self) -> list[int]:
        """Return the numbers of all tokens at which generation is to stop."""
        generation = self.json("generation_config.json")
        return _numbers(generation.get("eos_token_id")) or _numbers(
            self._config.get("eos_token_id")
        )

    def added(self) -> dict[int, AddedToken]:
        """Return the added tokens by number; what is said of one last is what holds."""
        found = {token.number: token for token in self._plainly_added()}
        entries = self.tokenizer.get("added_tokens") or []
        if not isinstance(entries, list):
            raise self._bad("added_tokens", "a list")
        found.update({token.number: token for token in map(self._token, entries)})
        known = mapping(self.settings.get("added_tokens_decoder") or {}, "added_tokens_decoder")
        for key, entry in known.items():
            token = self._token({**mapping(entry, "added_tokens_decoder"), "id": key})
            found[token.number] = token
        return found

    def _plainly_added(self) -> Iterator[AddedToken]:
        """Tokens of ``added_tokens.json``, which says nothing but their numbers."""
        special = {self.special_text(role) for role in _ROLES}
        more = self._named.get("additional_special_tokens") or []
        for entry in more if isinstance(more, list) else ():
            special.add(entry.get("content") if isinstance(entry, dict) else entry)
        for text, number in self.json("added_tokens.json").items():
            yield self._token({"id": number, "content": text, "special": text in special})

    def _token(self, entry: Any) -> AddedToken:
        fields = mapping(entry, "added_tokens")
        number, text = fields.get("id"), fields.get("content")
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10:
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise self._bad(f"an added token's number is {number!r:.40}", "a number from 0 on")
        if not isinstance(text, str) or not text:
            raise self._bad(f"the added token {number} is {text!r:.40}", "a text")
        swallows = any(fields.get(key) is True for key in ("lstrip", "rstrip", "single_word"))
        return AddedToken(number, text, fields.get("special") is True, swallows)

    def _bad(self, what: str, expected: str) -> InvalidCheckpoint:
        return InvalidCheckpoint(f"the tokenizer in {self.path}: {what}", expected=expected)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Return `value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{name} holds a {type(value).__name__}", expected="a JSON object")
    return value


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v >= 0]
