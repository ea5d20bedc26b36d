"""Parsers of the sub-commands: arguments in any order, and what several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.kinds import PACKAGED, packaged

__all__ = ["VOTES", "Parser", "add_device", "add_recipe", "add_set", "find_votes"]

VOTES = Path("../shared/data/galaxies/votes.csv")
"""Where the table of votes is looked for that recipes from scratch learn from."""


class Parser(argparse.ArgumentParser):
    """One that takes options between positional arguments, too.

    argparse gives a positional of any number what stands before the first option, and refuses what
    stands behind it: ``export RUN -o DIR PICTURE`` would be an error.
    """

    _within = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as `parse_known_intermixed_args` does, which calls this."""
        # It cannot look past a sub-command, which takes all that follows.
        if self._within or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


def add_recipe(command: argparse.ArgumentParser) -> None:
    """Add the argument that names a recipe."""
    command.add_argument(
        "recipe",
        type=Path,
        help=f"a TOML file, or one of those in {PACKAGED}: {', '.join(packaged())}",
    )


def add_set(command: argparse.ArgumentParser, more: str) -> None:
    """Add ``--set``."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help=f"another value than the recipe's{more}",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    command.add_argument("--device", help="of torch: cpu, cuda, ...; a GPU where there is one")


def find_votes(path: Any) -> Path:
    """Return the table of votes that a recipe from scratch learns from.

    Raises
    ------
    InvalidRequest
        If it is not there.
    """
    votes = Path(path or VOTES)
    if not votes.is_file():
        raise InvalidRequest(f"no table of votes at {votes}", hint="Name one with --data")
    return votes
