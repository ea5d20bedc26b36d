"""The doctor outlives what it looks at."""

from __future__ import annotations

import signal
import sys

import pytest

from astrollava.doctor.check import Check
from astrollava.doctor.examination import _survive
from astrollava.doctor.probe import ProbeFailed, run_probe
from astrollava.errors import InvalidModelFile


def die(code: str) -> ProbeFailed:
    with pytest.raises(ProbeFailed) as caught:
        run_probe(program=("-c", code))
    return caught.value


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such signals")
@pytest.mark.parametrize(
    ("number", "words", "advice"),
    [
        (signal.SIGILL, "built for another processor", "--no-binary"),
        (signal.SIGKILL, "memory", "smaller model"),
        (signal.SIGSEGV, "SIGSEGV", "from source"),
        (signal.SIGABRT, "SIGABRT", "from source"),
    ],
)
def test_a_crash_is_named_with_what_to_do(number: int, words: str, advice: str) -> None:
    """A llama.cpp of another processor kills whoever loads it: the doctor must not be that one."""
    failed = die(f"import os; os.kill(os.getpid(), {int(number)})")
    assert words in str(failed)
    assert advice in failed.advice


def test_a_failing_probe_tells_its_last_words() -> None:
    assert "No module named 'nothing'" in str(die("import nothing"))


def test_an_error_of_ours_keeps_its_hint() -> None:
    failed = die("""print('{"problem": "it is broken", "advice": "mend it"}')""")
    assert str(failed) == "it is broken"
    assert failed.advice == "mend it"


def test_chatter_before_the_answer_is_ignored() -> None:
    """A backend that prints while it loads must not spoil the JSON."""
    found = run_probe(program=("-c", """print("ggml_cuda_init"); print('{"version": "1"}')"""))
    assert found == {"version": "1"}


@pytest.mark.parametrize(
    ("error", "detail", "advice"),
    [
        (ValueError("boom"), "ValueError: boom", "report"),
        (InvalidModelFile("x is cut", hint="Get it again"), "x is cut", "Get it again"),
        (ProbeFailed("died", "mend it"), "died", "mend it"),
    ],
)
def test_a_check_that_fails_is_a_problem_and_no_traceback(
    error: Exception, detail: str, advice: str
) -> None:
    def look() -> Check:
        raise error

    (check,) = _survive("gpu", look)
    assert (check.name, check.status) == ("gpu", "problem")
    assert detail in check.detail
    assert advice in check.advice
