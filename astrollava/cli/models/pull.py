"""``astrollava models pull``: bring a model here."""

from __future__ import annotations

from astrollava.cli._terminal import say
from astrollava.cli.models._words import progress_bars
from astrollava.cli.models.show import Name

__all__ = ["pull"]


def pull(name: Name) -> None:
    """Download a model, or what is missing of it, and hold it against its hashes.

    Stopped with Ctrl-C or by a broken network, the same command goes on where it ended.
    """
    from astrollava.models import resolve

    with progress_bars() as progress:
        files = resolve(name, progress=progress)
    say(str(files.text))
    say(str(files.mmproj))
