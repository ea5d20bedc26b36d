"""``astrollava models remove``: free the disk of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from astrollava.cli._terminal import say
from astrollava.cli.models._words import size_words

__all__ = ["remove"]


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name, or hf:owner/repository:Q4_K_M.")
    ],
) -> None:
    """Remove the files of a model that was downloaded or came on a bundle."""
    from astrollava.models import store

    freed = store.remove(name)
    say(f"{name} removed, {size_words(freed) if freed else 'nothing'} freed")
