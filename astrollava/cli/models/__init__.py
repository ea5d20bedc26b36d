"""``astrollava models``: which models there are, and what can be done with their files.

A command is a function in a module of its own here; `COMMANDS` says in which order they are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import typer

from astrollava.cli._failures import guarded
from astrollava.cli.models.convert import convert
from astrollava.cli.models.list import list_models
from astrollava.cli.models.parity import parity
from astrollava.cli.models.pull import pull
from astrollava.cli.models.quantize import quantize
from astrollava.cli.models.remove import remove
from astrollava.cli.models.repair import repair
from astrollava.cli.models.show import show
from astrollava.cli.models.verify import verify

__all__ = ["COMMANDS", "app"]

#: Name on the command line -> the function behind it.
COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "list": list_models,
    "show": show,
    "pull": pull,
    "verify": verify,
    "remove": remove,
    "convert": convert,
    "quantize": quantize,
    "repair": repair,
    "parity": parity,
}

app = typer.Typer(
    name="models",
    help="List, fetch, check, convert and repair models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _name, _command in COMMANDS.items():
    app.command(_name)(guarded(_command))
