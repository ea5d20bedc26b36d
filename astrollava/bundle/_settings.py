"""Settings that travel with a model: options of `Describer` and of its methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from astrollava.errors import InvalidRequest

__all__ = ["DESCRIBER", "REQUEST", "check_settings"]

_NUMBER: Final = (int, float)

#: Options of `Describer` -> types they may have.
DESCRIBER: Final[Mapping[str, tuple[type, ...]]] = {
    "n_ctx": (int,),
    "n_gpu_layers": (int,),
    "projector_on_gpu": (bool,),
    "threads": (int,),
}
#: Options of `Describer.describe` and the like -> types they may have.
REQUEST: Final[Mapping[str, tuple[type, ...]]] = {
    "prompt": (str,),
    "bands": (str,),
    "interval": (str,),
    "stretch": (str,),
    "combine": (str,),
    "max_tokens": (int,),
    "temperature": _NUMBER,
    "top_k": (int,),
    "top_p": _NUMBER,
    "min_p": _NUMBER,
    "repeat_penalty": _NUMBER,
    "seed": (int,),
}


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings if each is known and of its type.

    Raises
    ------
    InvalidRequest
        One is not.
    """
    known = {**DESCRIBER, **REQUEST}
    for name, value in settings.items():
        if name not in known:
            raise InvalidRequest(
                f"there is no setting {name!r}", expected=f"one of {', '.join(known)}"
            )
        if not isinstance(value, known[name]) or (
            isinstance(value, bool) and bool not in known[name]
        ):
            kinds = " or ".join(kind.__name__ for kind in known[name])
            raise InvalidRequest(f"the setting {name} is {value!r}", expected=kinds)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(f"the setting {name} is {value!r}", expected="a finite number")
    return dict(settings)
