"""Native code tried in a process of its own.

A llama.cpp built for another processor dies of an illegal instruction the moment it is loaded,
and would take the doctor with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from astrollava.errors import AstrollavaError

__all__ = ["ProbeFailed", "run_probe"]

_LONGEST_SECONDS = 900


class ProbeFailed(Exception):
    """The process died, or said what is wrong.

    Attributes
    ----------
    advice : str
        What to do.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(problem)


def run_probe(*arguments: str, program: Sequence[str] = ("-m", __name__)) -> dict[str, Any]:
    """Run one of the probes below and return what it found.

    Parameters
    ----------
    *arguments : str
        ``"runtime"``, ``"class-token"``, or ``"sight"`` with a model and perhaps its projector.
    program : sequence of str
        What the interpreter runs; it prints one JSON object last.

    Raises
    ------
    ProbeFailed
        If the process died or reported an error.
    """
    # The child must see the same packages, whatever started this process.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", *program, *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProbeFailed(f"no answer within {_LONGEST_SECONDS // 60} minutes") from None
    if done.returncode != 0:
        raise ProbeFailed(*_why_it_died(done.returncode, done.stderr))
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "problem" in found:
        raise ProbeFailed(found["problem"], found["advice"])
    return found


def _why_it_died(code: int, stderr: str) -> tuple[str, str]:
    if code >= 0:
        last = (stderr.strip().splitlines() or [f"exit code {code}"])[-1]
        return f"the process failed: {last}", "Run the doctor with --debug and report it"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGILL":
        return (
            "llama.cpp died of an illegal instruction: it was built for another processor",
            "pip install --force-reinstall --no-binary llama-cpp-python llama-cpp-python",
        )
    if name == "SIGKILL":
        return "the process was killed, most likely for want of memory", "Use a smaller model"
    return (
        f"llama.cpp died of {name}",
        "Install llama-cpp-python again from source, and report it with the output of the doctor",
    )


def _runtime() -> dict[str, Any]:
    from astrollava.engine import runtime

    return asdict(runtime.info())


def _class_token() -> dict[str, Any]:
    from astrollava.engine import class_token

    known = class_token.remembered_order()
    return {"order": known or class_token.class_token_order(), "remembered": known is not None}


def _sight(model: str, mmproj: str | None = None) -> dict[str, Any]:
    from astrollava.describer import Describer

    with Describer(model, mmproj=mmproj) as describer:
        report = describer.check()
    return {"lines": [list(line) for line in report.lines], "passed": report.passed}


def _answer(what: str, *arguments: str) -> Mapping[str, Any]:
    try:
        match what:
            case "runtime":
                return _runtime()
            case "class-token":
                return _class_token()
            case _:
                return _sight(*arguments)
    except AstrollavaError as error:
        return {"problem": str(error), "advice": error.hint}


if __name__ == "__main__":
    print(json.dumps(_answer(*sys.argv[1:]), default=str))
