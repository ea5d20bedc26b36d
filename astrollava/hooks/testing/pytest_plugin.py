"""What pytest loads wherever astrollava is installed: two fixtures, and nothing that changes a run.

Everything they need is imported when a test asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from astrollava.hooks import Plugins
    from astrollava.hooks.testing.service import Answer, Request, Service

__all__ = ["astrollava_plugins", "astrollava_service"]


@pytest.fixture
def astrollava_plugins() -> Iterator[Callable[..., Plugins]]:
    """Put plugins in place of the installed ones, for one test.

    Called with modules, or other objects with hooks, by position (named after the module or the
    type) or by name; returns the `astrollava.hooks.Plugins`.
    """
    from astrollava.hooks.testing.whole import in_place

    with ExitStack() as undo:
        yield lambda *given, **named: undo.enter_context(in_place(*given, **named))


@pytest.fixture
def astrollava_service() -> Iterator[Callable[[Callable[[Request], Answer]], Service]]:
    """Start services on this machine, for one test.

    Called with a function `Request` -> `Answer`; returns the `Service`.
    """
    from astrollava.hooks.testing.service import serving

    with ExitStack() as undo:

        def serve(answer: Callable[[Any], Any]) -> Service:
            return undo.enter_context(serving(answer))

        yield serve
