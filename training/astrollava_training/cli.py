"""``astrollava-train``: run a recipe, export or publish what it made, evaluate a model.

::

    astrollava-train run astrollava-7b --data data
    astrollava-train export runs/astrollava-7b -o astrollava-7b --quantize q4_k_m
    astrollava-train evaluate embedded --split test
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from tempfile import NamedTemporaryFile

from astrollava._standard_streams import open_closed_streams
from astrollava.errors import AstrollavaError
from astrollava_training.commands.parser import Parser

__all__ = ["main"]

#: Modules with an ``add_parser`` of their own; see `astrollava_training.commands`.
_COMMANDS = (
    "astrollava_training.commands.run",
    "astrollava_training.commands.recipes",
    "astrollava_training.commands.export",
    "astrollava_training.commands.bench",
    "astrollava_training.commands.evaluate",
    "astrollava_training.commands.trust",
    "astrollava_training.commands.ratings",
    "astrollava_training.commands.publish",
)


def _parser() -> Parser:
    parser = Parser(
        prog="astrollava-train",
        description="Train models of AstroLLaVA's kind by recipes, export them, and evaluate any.",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        default=os.environ.get("ASTROLLAVA_DEBUG", "") not in {"", "0"},
        help="show the traceback of an error",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        import_module(name).add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``astrollava-train``.

    Returns
    -------
    int
        0 when done, 2 for what was asked for wrongly or cannot be done, 130 for Ctrl-C, 143 for
        SIGTERM, 141 where whoever read the output went away, 1 for what nobody expected.
    """
    open_closed_streams()
    try:
        try:
            code = _run(arguments)
        except SystemExit:  # argparse has told its help, or what it did not understand
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more while it shuts down, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


class _Terminated(KeyboardInterrupt):
    """SIGTERM: batch systems stop by it what has used up its time."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, where nobody has said what else it should do."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    owner = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() != owner:  # a worker that was forked, and is to end without a word
            os._exit(128 + number)
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(arguments: Sequence[str] | None) -> int:
    given = _parser().parse_args(arguments)
    try:
        with _terminable():
            given.work(given)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as stop:
        if os.environ.get("RANK", "0") == "0":
            print(f"astrollava-train: stopped{str(stop) and f'. {stop}'}", file=sys.stderr)
        return 143 if isinstance(stop, _Terminated) else 130
    except Exception as error:
        expected = isinstance(error, AstrollavaError | ValueError | OSError)
        print(f"astrollava-train: {_told(error, expected=expected)}", file=sys.stderr)
        if given.debug:
            traceback.print_exc()
        elif not expected and (kept := _kept()):
            print(f"Where it came from is written in {kept}", file=sys.stderr)
        return 2 if expected else 1
    return 0


def _told(error: Exception, *, expected: bool) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, AstrollavaError):
        # Without the number of the error, and with the file before it.
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    said = str(error) or type(error).__name__
    return said if expected else f"unexpected {type(error).__name__}: {said}"


def _kept() -> str:
    """Write the traceback to a file: what broke off a night's training must not be lost."""
    with (
        suppress(OSError),
        NamedTemporaryFile(
            "w", prefix="astrollava-train-", suffix=".txt", delete=False, encoding="utf-8"
        ) as stream,
    ):
        traceback.print_exc(file=stream)
        return stream.name
    return ""
