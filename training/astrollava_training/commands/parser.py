"""Parsers of the sub-commands: arguments in any order, and what several commands take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.kinds import packaged

__all__ = [
    "VOTES",
    "Parser",
    "add_device",
    "add_pictures",
    "add_recipe",
    "add_resampling",
    "add_seed",
    "add_set",
    "find_votes",
    "number",
    "whole",
]

VOTES = Path("votes.csv")
"""The table of votes that is read where ``--data`` names no data: one in the folder one is in."""

#: Of each, the bootstrap keeps a weight for every picture.
_MOST_RESAMPLES = 100_000


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
        help=f"a TOML file, or the name of one that comes along: {', '.join(packaged())};"
        " `astrollava-train recipes` says where these lie",
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
    command.add_argument(
        "--device",
        help="device of torch: cpu, cuda, cuda:1, ... (default: a GPU where there is one)",
    )


def add_pictures(command: Any, *, usual: str, limit: int | None = None) -> None:
    """Add ``--split`` and ``--limit``: which pictures of the data are taken.

    Parameters
    ----------
    command : argparse parser or group
    usual : str
        The split that is taken where none is named and the data have splits.
    limit : int, optional
        How many pictures are taken where nothing is said; all by default.
    """
    command.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="the pictures to take, by the splits that the data name"
        f" (default: {usual} where they name any, else every picture; of Galaxy10's .h5 a tenth)",
    )
    command.add_argument(
        "--limit",
        # One picture has no other to be compared with; see `Dataset.chosen`.
        type=whole(2),
        default=limit,
        metavar="N",
        help="this many pictures at most, of each class its share; a larger number takes the same"
        f" and more (default: {limit or 'all'})",
    )


def add_resampling(command: Any) -> None:
    """Add ``--resamples`` and ``--seed``, on which intervals depend."""
    command.add_argument(
        "--resamples",
        type=whole(1, _MOST_RESAMPLES),
        default=1000,
        metavar="N",
        help="resamples of the bootstrap that gives intervals (default: %(default)s)",
    )
    add_seed(command)


def add_seed(command: Any) -> None:
    """Add ``--seed``."""
    command.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="of all random choices; the same gives the same (default: %(default)s)",
    )


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what takes a whole number out of an argument, and refuses one out of its range."""
    upwards = f"a whole number, {least} or more"
    wanted = upwards if most is None else f"a whole number from {least} to {most}"

    def take(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if found < least or (most is not None and found > most):
            raise argparse.ArgumentTypeError(f"{text[:80]!r}, expected {wanted}")
        return found

    return take


def number(text: str) -> float:
    """Take a finite number, zero or more, out of an argument."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found >= 0.0):
        raise argparse.ArgumentTypeError(f"{text[:80]!r}, expected a finite number, 0 or more")
    return found


def find_votes(path: Any) -> Path:
    """Return the table of votes that a recipe from scratch learns from.

    Raises
    ------
    InvalidRequest
        If it is not there.
    """
    votes = Path(path or VOTES)
    if not votes.is_file():
        raise InvalidRequest(
            f"{votes} is {'a folder' if votes.is_dir() else 'no file'}",
            expected="a table of votes, pictures beside it",
            hint="Name one with --data",
        )
    return votes
