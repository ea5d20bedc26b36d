"""The commands, joined; each loads what it needs when it runs."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from astrollava import __version__
from astrollava.cli._elsewhere import ReadingCommand
from astrollava.cli._failures import guarded, settings
from astrollava.cli.ask import ask
from astrollava.cli.bundle import app as bundle
from astrollava.cli.chat import chat
from astrollava.cli.classify import classify
from astrollava.cli.demo import demo
from astrollava.cli.describe import describe
from astrollava.cli.doctor import doctor
from astrollava.cli.extract import extract
from astrollava.cli.fetch import SETTINGS, fetch
from astrollava.cli.models import app as models
from astrollava.cli.plugins import app as plugins

__all__ = ["app"]

app = typer.Typer(
    name="astrollava",
    help="Words, answers and labels for astronomical images, offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"astrollava {__version__}")
        raise typer.Exit


def _log_to_stderr() -> None:
    from astrollava.cli._terminal import clean

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return clean(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger = logging.getLogger("astrollava")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_show_version,
            metavar="",
            help="Show the version and leave.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", metavar="", help="Log to standard error.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show the traceback of an error.")
    ] = False,
) -> None:
    settings.debug |= debug
    if verbose:
        _log_to_stderr()


for command in (describe, ask, chat, classify, extract):
    app.command(cls=ReadingCommand)(guarded(command))
app.command(context_settings=SETTINGS)(guarded(fetch))
for other in (demo, doctor):
    app.command()(guarded(other))
app.add_typer(models)
app.add_typer(bundle)
app.add_typer(plugins)
