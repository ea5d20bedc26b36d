"""``astrollava models list``: the models known by name."""

from __future__ import annotations

from astrollava.cli._terminal import say

__all__ = ["list_models"]


def list_models() -> None:
    """List the models that can be called by a name."""
    from astrollava.models.catalog import entries

    for entry in entries():
        say(entry.name)
