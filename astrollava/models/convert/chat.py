"""The chat template a checkpoint was trained with: its own, or one of LLaVA's conversations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint

from ._tokenizer_files import TokenizerFolder

__all__ = ["TEMPLATES", "chat_template", "own_template"]

#: Characters of a template; what the engine takes at most. Long published ones have some 20,000.
_LONGEST: Final = 200_000


def _content(of: str) -> str:
    # Training puts images before the words of a message, each on a line of its own.
    return (
        f"{{% if {of}['content'] is string %}}{{{{ {of}['content'] }}}}{{% else %}}"
        f"{{% for part in {of}['content'] if part['type'] == 'image' %}}{{{{ '<image>\\n' }}}}"
        f"{{% endfor %}}{{% for part in {of}['content'] if part['type'] == 'text' %}}"
        "{{ part['text'] }}{% endfor %}{% endif %}"
    )


_V1: Final = (
    "{% if messages[0]['role'] != 'system' %}{{ 'A chat between a curious user and an artificial"
    " intelligence assistant. The assistant gives helpful, detailed, and polite answers to the"
    " user\\'s questions. ' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' }}{% endif %}"
    f"{_content('message')}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

_LLAMA_2: Final = (
    "{% if messages[0]['role'] != 'system' %}{% set rest = messages %}{% else %}"
    "{% set rest = messages[1:] %}{% endif %}"
    "{% for message in rest %}"
    "{% if message['role'] == 'user' %}"
    "{{ ('' if loop.first else bos_token) + '[INST] ' }}"
    "{% if loop.first %}{{ '<<SYS>>\\n' }}"
    "{% if messages[0]['role'] != 'system' %}"
    "{{ 'You are a helpful language and vision assistant. You are able to understand the visual"
    " content that the user provides, and assist the user with a variety of tasks using natural"
    " language.' }}"
    f"{{% else %}}{_content('messages[0]')}{{% endif %}}"
    "{{ '\\n<</SYS>>\\n\\n' }}{% endif %}"
    f"{_content('message')}"
    "{{ ' [/INST]' }}"
    f"{{% else %}}{{{{ ' ' }}}}{_content('message')}{{{{ ' ' + eos_token }}}}{{% endif %}}"
    "{% endfor %}"
)

#: The conversations of the original LLaVA code (``llava/conversation.py``) as Jinja2, by its names.
TEMPLATES: Final[Mapping[str, str]] = MappingProxyType({"v1": _V1, "llava_llama_2": _LLAMA_2})


def chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Find the chat template of a checkpoint.

    Parameters
    ----------
    folder : Path
        The checkpoint's folder.
    config : mapping
        Its ``config.json``.

    Returns
    -------
    str or None
        Jinja2 text: the checkpoint's own where it has one, the processor's before the tokenizer's;
        else, for the original LLaVA layout over a Llama, ``TEMPLATES["llava_llama_2"]`` where the
        model's name says that it is a Llama 2 chat model and ``TEMPLATES["v1"]`` otherwise; else
        None.

    Raises
    ------
    InvalidCheckpoint
        The template is no text or too long. Whether it compiles is not looked at.
    """
    own = own_template(folder)
    if own is not None:
        return own
    if not _is_original_llama(config):
        return None
    name = f"{config.get('_name_or_path')} {folder.resolve().name}".lower().replace("_", "-")
    return TEMPLATES["llava_llama_2" if "llama-2" in name else "v1"]


def own_template(folder: Path) -> str | None:
    """Return the chat template that a folder holds, None where it holds none."""
    own = _own(TokenizerFolder(folder))
    if own is not None and len(own) > _LONGEST:
        raise InvalidCheckpoint(
            f"the chat template in {folder} has {len(own)} characters",
            expected=f"at most {_LONGEST}",
        )
    return own


def _own(files: TokenizerFolder) -> str | None:
    data = files.read("chat_template.jinja")
    if data is not None:
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidCheckpoint(
                f"{files.path / 'chat_template.jinja'} is no text ({error})"
            ) from None
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        found = _chosen(files.json(name).get("chat_template"), name)
        if found:
            return found
    return None


def _chosen(value: Any, name: str) -> str | None:
    """Pick the template for talking where a file has several."""
    if isinstance(value, list):
        named = {t.get("name"): t.get("template") for t in value if isinstance(t, dict)}
        value = named.get("default")
    elif isinstance(value, dict):
        value = value.get("default")
    if value is not None and not isinstance(value, str):
        raise InvalidCheckpoint(f"{name}: the chat template is a {type(value).__name__}")
    return value


def _is_original_llama(config: Mapping[str, Any]) -> bool:
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    kind = config.get("model_type")
    return kind == "llava_llama" or any(name.startswith("LlavaLlama") for name in names)
