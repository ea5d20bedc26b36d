"""`import astrollava` is cheap: shells, completion and scripts that never describe pay nothing."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("llama_cpp", "torch", "transformers", "astropy", "numpy", "PIL", "jinja2", "typer", "rich")


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_importing_loads_nothing_heavy() -> None:
    """An import at module level would pull llama.cpp or astropy into every process."""
    loaded = json.loads(
        fresh(
            "import sys, json, astrollava, astrollava.errors, astrollava.results\n"
            "import astrollava.prompts, astrollava.vocabularies, astrollava.grounding\n"
            "print(json.dumps(sorted(sys.modules)))"
        )
    )
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_importing_takes_under_150_ms() -> None:
    """Processor time of the import alone, the best of five runs."""
    code = "import time; t = time.process_time(); import astrollava; print(time.process_time() - t)"
    assert min(float(fresh(code)) for _ in range(5)) < 0.15


def test_every_public_name_is_there() -> None:
    """A lazily imported name that moved would only fail at a user."""
    code = "import astrollava; [getattr(astrollava, name) for name in astrollava.__all__]"
    fresh(code)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr` and tab completion rely on it."""
    assert fresh("import astrollava; print(hasattr(astrollava, 'Telescope'))").strip() == "False"
