"""Words, answers and calibrated labels for astronomical images, offline.

>>> from astrollava import Describer
>>> with Describer() as describer:                        # doctest: +SKIP
...     print(describer.describe("cutout.fits"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from astrollava import _plugged

if TYPE_CHECKING:
    from astrollava._plugged import Answering
    from astrollava.conversation import Conversation
    from astrollava.describer import Describer
    from astrollava.errors import AstrollavaError
    from astrollava.images import SkyImage
    from astrollava.results import (
        Answer,
        Classification,
        Description,
        Extraction,
        Flag,
        Provenance,
    )

__all__ = [
    "Answer",
    "AstrollavaError",
    "Classification",
    "Conversation",
    "Describer",
    "Description",
    "Extraction",
    "Flag",
    "Provenance",
    "SkyImage",
    "__version__",
]

__version__ = "0.1.0"

# Public names are loaded on first use: a bare import must stay cheap in scripts and shells.
_HOMES = {
    "Answer": "results",
    "AstrollavaError": "errors",
    "Classification": "results",
    "Conversation": "conversation",
    "Describer": "describer",
    "Description": "results",
    "Extraction": "results",
    "Flag": "results",
    "Provenance": "results",
    "SkyImage": "images",
}


def _plugins() -> Answering:
    from astrollava.hooks import manager

    return manager


# The rooms of the core do not know of plugins: here they are joined, late.
_plugged.answer_with(_plugins)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"astrollava.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'astrollava' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
