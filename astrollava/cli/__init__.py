"""The ``astrollava`` command.

=========  =====================================================================
Exit code  Meaning
=========  =====================================================================
0          all went well
1          ``doctor`` found a problem, ``models parity`` a difference, ``plugins check``
           a fault, a plugin failed, or something unexpected happened
2          a wrong option, argument or image
3          the model cannot be used
4          the model could not produce text
5          a service gave no image, or a catalogue no facts
129, 143   ``models convert`` or ``quantize`` stopped by a signal (SIGHUP, SIGTERM)
130        stopped with Ctrl-C
141        whoever read the output went away
=========  =====================================================================

Of several sources the first that fails decides. Results go to standard output, everything else
to standard error. No traceback is shown unless ``--debug`` or ``ASTROLLAVA_DEBUG=1`` asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from astrollava._standard_streams import forget_no_width, open_closed_streams

__all__ = ["main"]

_READER_GONE = 141


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave the process.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; `sys.argv` by default.
    """
    code: int | str | None = 0
    open_closed_streams()
    forget_no_width()
    try:
        # Imported here so that a Ctrl-C during the imports is caught too.
        from astrollava.cli._interrupts import INTERRUPTED, keep_interrupts, stop_at_once

        with keep_interrupts():
            try:
                code = _run(arguments)
            except KeyboardInterrupt:
                code = INTERRUPTED
            if code == INTERRUPTED:
                stop_at_once()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = _READER_GONE
    except OSError as error:
        # Errors of a command's own work have been told: this is of writing its results, or a help.
        sys.stderr.write(f"error  standard output cannot be written: {error.strerror or error}\n")
        code = 1
        _leave_output()
    if code == _READER_GONE:
        _leave_output()
    sys.exit(code)


def _leave_output() -> None:
    # Python flushes standard output once more while it shuts down, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> int | str | None:
    from astrollava.cli._app import app
    from astrollava.cli._failures import warnings_in_words
    from astrollava.cli._terminal import tolerate_any_text

    tolerate_any_text()
    try:
        with warnings_in_words():
            app(args=None if arguments is None else list(arguments), prog_name="astrollava")
    except SystemExit as leaving:
        # With a help page half written, rich and typer leave with 1.
        return _READER_GONE if isinstance(leaving.__context__, BrokenPipeError) else leaving.code
    finally:
        sys.stdout.flush()
    return 0
