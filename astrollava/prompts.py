"""What the model is asked, each text with an id and a version that provenance records.

A text never changes under the same version: a result can be repeated from its record.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from astrollava.errors import InvalidRequest

__all__ = [
    "CLASSIFY",
    "DESCRIBE",
    "DESCRIBE_GALAXY10",
    "PROMPTS",
    "Prompt",
    "chosen",
    "custom",
    "get",
    "scoring",
]

#: Hexadecimal digits of the SHA-256 that make the version of a custom prompt.
_DIGEST_LENGTH = 12


@dataclass(frozen=True)
class Prompt:
    """The user's turn that goes with an image.

    Attributes
    ----------
    id : str
        Name of the prompt; ``"custom"`` for a text of the user's own.
    version : str
        Changes whenever the text does.
    text : str
        The words the model reads, without any image marker or chat template.

    Examples
    --------
    >>> from astrollava.prompts import DESCRIBE
    >>> print(DESCRIBE)
    Describe this image.
    """

    id: str
    version: str
    text: str

    def __str__(self) -> str:
        return self.text


#: A free description; what the embedded model was trained to answer.
DESCRIBE = Prompt("describe", "1", "Describe this image.")

#: The prompt of the AstroLLaVA evaluation on Galaxy10 DECaLS (arXiv:2504.08583), word for word.
DESCRIBE_GALAXY10 = Prompt(
    "describe-galaxy10",
    "1",
    "Describe the following galaxy image in detail. "
    "What type of galaxy is it and what are its key features?",
)

#: Asks for one of the classes of `astrollava.vocabularies.GALAXY10`.
CLASSIFY = Prompt("classify", "1", "What type of galaxy is this?")

#: Every prompt that `get` knows.
PROMPTS = (DESCRIBE, DESCRIBE_GALAXY10, CLASSIFY)


def get(prompt_id: str) -> Prompt:
    """Return the prompt of that id.

    Parameters
    ----------
    prompt_id : str
        One of the ids in `PROMPTS`.

    Returns
    -------
    Prompt

    Raises
    ------
    InvalidRequest
        If there is no such prompt; the nearest ids are named.

    Examples
    --------
    >>> from astrollava import prompts
    >>> prompts.get("classify").text
    'What type of galaxy is this?'
    """
    for prompt in PROMPTS:
        if prompt.id == prompt_id:
            return prompt
    known = [prompt.id for prompt in PROMPTS]
    near = difflib.get_close_matches(str(prompt_id).lower(), known, n=2)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise InvalidRequest(
        f"there is no prompt with the id {prompt_id!r}",
        expected=f"one of {', '.join(known)}",
        hint=f"{meant}For a text of your own use astrollava.prompts.custom(text)",
    )


def scoring(name: str, question: str, answers: Mapping[str, str]) -> Prompt:
    """Return the record of a question whose answers are scored, not generated.

    Parameters
    ----------
    name : str
        Name of the label set.
    question : str
        The words the model reads.
    answers : mapping of str to str
        Label -> the answer scored for it.

    Returns
    -------
    Prompt
        With the id ``"labels:<name>"`` and a version derived from question, labels and answers.
    """
    asked = json.dumps([question, *answers.items()])
    return Prompt(f"labels:{name}", f"sha256-{_digest(asked)}", question)


def _digest(text: str) -> str:
    # "surrogatepass": a lone surrogate is a legal str and must hash, not raise here.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]


def chosen(prompt: str | Prompt | None) -> Prompt:
    """Return the prompt meant.

    Parameters
    ----------
    prompt : str, Prompt or None
        Words of the user's own, a prompt, or None for `DESCRIBE`.

    Returns
    -------
    Prompt

    Raises
    ------
    InvalidRequest
        As for `custom`.
    """
    if prompt is None:
        return DESCRIBE
    return prompt if isinstance(prompt, Prompt) else custom(prompt)


def custom(text: str) -> Prompt:
    """Return a prompt with a text of the user's own.

    Parameters
    ----------
    text : str
        The words the model reads; kept exactly as given.

    Returns
    -------
    Prompt
        With the id ``"custom"`` and a version derived from the text, so that two records
        show the same version exactly when the model was asked the same.

    Raises
    ------
    InvalidRequest
        If the text is not a string or has no visible character.

    Examples
    --------
    >>> from astrollava import prompts
    >>> prompts.custom("Is there a bar?").version
    'sha256-1953edb62462'
    """
    if not isinstance(text, str):
        raise InvalidRequest(
            f"the prompt is a {type(text).__name__}",
            expected="a string",
            hint="Pass the words the model should read",
        )
    if not text.strip():
        raise InvalidRequest(
            f"the prompt {text!r} is blank",
            expected="a text with at least one visible character",
            hint="Leave the prompt out for the usual one",
        )
    return Prompt("custom", f"sha256-{_digest(text)}", text)
