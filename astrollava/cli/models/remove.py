"""``astrollava models remove``: free the disk of a model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from astrollava.cli._terminal import clean_line, say
from astrollava.cli.models._words import size_words

__all__ = ["remove"]


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name, or hf:owner/repository:Q4_K_M.")
    ],
) -> None:
    """Remove the files of a model that was downloaded or came on a bundle, and their copies."""
    from astrollava.models import _bundled, store

    bundled = _bundled.find(name)
    freed = store.remove(name)
    say(f"{name} removed, {size_words(freed) if freed else 'nothing'} freed")
    if bundled is not None and bundled[0].exists():
        folder = bundled[0]
        left = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if not f.is_dir())
        some = ", ".join(left[:8]) + (" ..." if len(left) > 8 else "")
        sys.stderr.write(
            clean_line(f"note   added or changed since, so kept in {folder}: {some}") + "\n"
        )
