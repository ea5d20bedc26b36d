"""``astrollava chat``: a conversation about one image."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from astrollava.cli._failures import exit_code, report
from astrollava.cli._flags import flag_lines, note_cut, note_flags
from astrollava.cli._options import (
    Bands,
    Combine,
    Cutout,
    GpuLayers,
    Hdu,
    Interval,
    MaxTokens,
    Mmproj,
    Model,
    Seed,
    Source,
    Stretch,
    Temperature,
    Threads,
    image_arguments,
    open_describer,
    sampling_arguments,
)
from astrollava.cli._sources import one_by_one
from astrollava.cli._terminal import clean_line, is_interactive
from astrollava.cli._wrap import StreamWrapper
from astrollava.errors import ContextTooLong, GenerationError, InvalidRequest

if TYPE_CHECKING:
    from rich.console import Console

    from astrollava.conversation import Conversation
    from astrollava.results import Answer

__all__ = ["chat"]

_LEAVE = {"/quit", "/exit", "/q"}
_NEW = "/new"
_HELP = "Type a question. /new starts again, /quit or Ctrl-D leaves, Ctrl-C stops an answer."


def chat(
    source: Source,
    hdu: Hdu = None,
    cutout: Cutout = None,
    bands: Bands = None,
    stretch: Stretch = None,
    interval: Interval = None,
    combine: Combine = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    model: Model = "embedded",
    mmproj: Mmproj = None,
    gpu_layers: GpuLayers = 0,
    threads: Threads = None,
) -> None:
    """Talk about an image. The image is encoded once.

    Where standard input is no terminal, each of its lines is a question; one that cannot be
    answered is reported, and those after it are read all the same.
    """
    if source == "-":
        raise InvalidRequest(
            "chat cannot read the image from standard input", hint="The questions come from there"
        )
    arguments = image_arguments(hdu, cutout, bands, stretch, interval, combine)
    arguments |= sampling_arguments(max_tokens, temperature, seed)

    def talk(_: int, source: str) -> None:
        def start() -> Conversation:
            return describer.chat(source, **arguments)

        if sys.stdin.isatty() and sys.stdout.isatty():
            _talk(start, source)
        else:
            _answer_lines(start)

    with open_describer(model, mmproj, gpu_layers, threads) as describer:
        failed = one_by_one([source], talk, as_json=False)
    if failed:
        raise typer.Exit(failed)


def _answer_lines(start: Callable[[], Conversation]) -> None:
    conversation = start()
    failed = 0
    for line in sys.stdin:
        question = line.strip()
        if question in _LEAVE:
            break
        if question == _NEW:
            conversation = start()
        elif question:
            try:
                answer = _answer(conversation, question, indent=0, width=0)
            except GenerationError as error:
                # The lines that follow may be answered, after a /new at the latest.
                report(error)
                failed = exit_code(error)
                continue
            note_flags(answer)
            note_cut(answer)
    if failed:
        raise typer.Exit(failed)


def _talk(start: Callable[[], Conversation], source: str) -> None:
    from astrollava.cli._console import console

    out = console()
    # Gives `input` a history and line editing; Windows has its own.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401
    conversation = start()
    _show_picture(out, conversation, source)
    failed = 0
    interrupted = False
    while True:
        try:
            question = input(_prompt(out)).strip()
        except EOFError:
            out.print()
            break
        except KeyboardInterrupt:
            out.print()
            if interrupted:
                raise
            interrupted = True
            out.print("  (once more, or /quit, to leave)", style="dim")
            continue
        interrupted = False
        if question in _LEAVE:
            break
        if question == _NEW:
            conversation = start()
            out.print("  (a new conversation)\n", style="dim")
        elif question.startswith("/"):
            out.print(f"  {_HELP}", style="dim")
        elif question:
            failed = _try_to_answer(out, conversation, question)
    if failed:
        raise typer.Exit(failed)


def _try_to_answer(out: Console, conversation: Conversation, question: str) -> int:
    """Answer, and return 0 or the exit code of what went wrong."""
    out.print()
    try:
        answer = _answer(conversation, question, indent=2, width=min(out.width, 80))
    except KeyboardInterrupt:
        out.print("\n  (stopped)", style="dim")
        return 0
    except GenerationError as error:
        report(error)
        return exit_code(error)
    for kind, words, reason in flag_lines(answer):
        out.print(f"\n  ⚑ {kind} “{words}”: {reason}", style="yellow")
    note_cut(answer, indent=2)
    out.print()
    return 0


def _answer(conversation: Conversation, question: str, *, indent: int, width: int) -> Answer:
    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    wrapper = StreamWrapper(write, width=width, indent=indent)
    try:
        stream = conversation.ask(question, stream=True)
        for piece in stream:
            wrapper.feed(piece)
    except ContextTooLong as error:
        if not conversation.turns:
            raise
        raise ContextTooLong(
            "the conversation is too long for the model", hint=f"{_NEW} starts again"
        ) from error
    wrapper.close()
    return stream.result


def _show_picture(out: Console, conversation: Conversation, source: str) -> None:
    from astrollava.cli.picture import print_picture

    out.print()
    print_picture(out, conversation.thumbnail, os.environ)
    out.print(f"  {clean_line(source)}", style="bold")
    out.print(f"  {_HELP}\n", style="dim")


def _prompt(out: Console) -> str:
    if out.color_system is None or not is_interactive():
        return "> "
    # readline must not count the colour among the characters of the line (\001 and \002).
    return "\001\x1b[1;36m\002›\001\x1b[0m\002 "
