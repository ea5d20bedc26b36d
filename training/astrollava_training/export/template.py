"""The chat template at work: messages written as the text a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astrollava_training.data.tokens import CHAT_TEMPLATE

__all__ = ["render_chat"]


def render_chat(
    messages: Sequence[Mapping[str, Any]],
    *,
    template: str = CHAT_TEMPLATE,
    generate: bool = True,
) -> str:
    r"""Write messages as the text a model reads.

    Parameters
    ----------
    messages : sequence of mapping
        ``role`` is ``"system"``, ``"user"`` or ``"assistant"``; ``content`` a string or a list of
        ``{"type": "image"}`` and ``{"type": "text", "text": ...}``.
    template : str
        A jinja chat template.
    generate : bool
        End with the opening of the assistant's turn.

    Returns
    -------
    str
        With one ``<image>`` for each picture.

    Examples
    --------
    >>> parts = [{"type": "image"}, {"type": "text", "text": "Is there a bar?"}]
    >>> render_chat([{"role": "user", "content": parts}])
    'USER: <image>\nIs there a bar? ASSISTANT:'
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=generate
    )
