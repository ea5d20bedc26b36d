"""The chat template of LLaVA 1.5, which its authors call ``v1``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LLAVA_V1", "render_chat"]

#: ``USER: <image>\nquestion ASSISTANT: answer</s>USER: ...``; the engine puts the picture in the
#: place of ``<image>``. A turn's pictures come before its words, wherever the caller put them,
#: because training saw them there. No ``<s>``: the tokenizer adds it (``add_bos_token``).
LLAVA_V1 = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{%- set before, after = '', ' ' -%}"
    "{%- elif message['role'] == 'user' -%}{%- set before, after = 'USER: ', ' ' -%}"
    "{%- elif message['role'] == 'assistant' -%}{%- set before, after = 'ASSISTANT: ', '</s>' -%}"
    "{%- else -%}{{ raise_exception('unknown role ' ~ message['role']) }}{%- endif -%}"
    "{{ before }}"
    "{%- if message['content'] is string -%}{{ message['content'] | trim }}"
    "{%- else -%}"
    "{%- for part in message['content'] if part['type'] in ('image', 'image_url') -%}"
    "{{ '<image>\\n' }}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{ part['text'] | trim }}{%- endfor -%}"
    "{%- endif -%}"
    "{{ after }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)


def render_chat(
    messages: Sequence[Mapping[str, Any]],
    *,
    template: str = LLAVA_V1,
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

    def raise_exception(message: str) -> None:
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=generate
    )
