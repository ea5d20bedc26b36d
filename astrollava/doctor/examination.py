"""All checks, in the order in which one stands on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from astrollava.doctor.cache import check_cache
from astrollava.doctor.check import Check
from astrollava.doctor.machine import (
    check_amx,
    check_class_token,
    check_gpu,
    check_memory,
    check_processor,
)
from astrollava.doctor.model import check_files, check_hashes, check_header, check_sight
from astrollava.doctor.probe import ProbeFailed, run_probe
from astrollava.doctor.software import check_extras, check_packages, check_python
from astrollava.errors import AstrollavaError

__all__ = ["examine"]


def examine(model: str = "embedded", mmproj: Path | None = None) -> Iterator[Check]:
    """Look at everything astrollava stands on.

    Parameters
    ----------
    model : str
        A model's name or the path of its GGUF file.
    mmproj : pathlib.Path, optional
        The projector of that GGUF file.

    Yields
    ------
    Check
        As soon as it is known. A check that fails itself is a problem, never an exception.
    """
    yield from _survive("python", check_python)
    yield from _survive("packages", check_packages)
    yield from _survive("extras", check_extras)
    yield from _survive("cache folder", check_cache)
    yield from _survive("llama.cpp", _native_checks)
    yield from _survive("model files", partial(_model_checks, model, mmproj))


def _native_checks() -> Iterator[Check]:
    runtime = run_probe("runtime")
    yield Check("llama.cpp", "ok", f"llama-cpp-python {runtime['version']}")
    yield from _survive("processor", partial(check_processor, runtime))
    yield from _survive("amx", partial(check_amx, runtime))
    yield from _survive("gpu", partial(check_gpu, runtime))
    yield from _survive("class token", lambda: check_class_token(run_probe("class-token")))


def _model_checks(model: str, mmproj: Path | None) -> Iterator[Check]:
    from astrollava import models

    files = models.resolve(model, mmproj)
    yield check_files(files)
    header = list(_survive("model header", partial(check_header, files)))
    yield from header
    yield from _survive("model hashes", partial(check_hashes, files))
    weights = files.text.stat().st_size + files.mmproj.stat().st_size
    yield from _survive("memory", partial(check_memory, weights))
    if all(check.status == "ok" for check in header):
        yield from _survive("self-check", partial(check_sight, model, mmproj))


def _survive(name: str, look: Callable[[], Check | Iterable[Check]]) -> Iterator[Check]:
    try:
        found = look()
        if isinstance(found, Check):
            yield found
        else:
            yield from found
    except ProbeFailed as error:
        yield Check(name, "problem", str(error), error.advice)
    except AstrollavaError as error:
        expected = f"Expected {error.expected}" if error.expected else ""
        advice = ". ".join(part for part in (expected, error.hint) if part)
        yield Check(name, "problem", error.problem, advice)
    except Exception as error:
        detail = f"this check failed: {type(error).__name__}: {error}"
        yield Check(name, "problem", detail, "Please report it")
