"""Try model files on llama.cpp in a process that may die.

python gguf_fuzz.py FIRST COUNT FOLDER    # a long run by hand; crashes are kept in FOLDER
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from gguf_mutants import Mutant, make_mutant
from gguf_systematic import single_changes

__all__ = ["Crashed", "Llama", "hunt"]

_WORKER = Path(__file__).with_name("gguf_worker.py")


class Crashed(Exception):
    """The process that ran llama.cpp died or hung."""


class Llama:
    """A process that runs llama.cpp, started anew when it dies."""

    def __init__(self, *, patience: float = 60.0) -> None:
        self._patience = patience
        # A pipe that nobody reads would fill and hang the process.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, text: Path, mmproj: Path) -> str:
        """Return what became of a pair.

        Raises
        ------
        Crashed
            The process died of a signal, or did not answer in time.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # Else ggml starts a debugger on the process it is about to end.
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        process = self._process
        assert process.stdin
        assert process.stdout
        self._errors.truncate(0)
        process.stdin.write(json.dumps([str(text), str(mmproj)]).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self._patience)
        line = process.stdout.readline() if ready else b""
        if line:
            return str(json.loads(line))
        if not ready:
            process.kill()
        code = process.wait()
        self._errors.seek(0)
        errors = self._errors.read().decode("utf-8", "replace").replace("\0", "")
        self._end()
        raise Crashed(f"{'hung' if not ready else f'exit code {code}'}\n{errors[-1500:]}")

    def close(self) -> None:
        """End the process."""
        self._end()
        self._errors.close()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
            process.wait(10)


def hunt(makers: Iterable[Callable[[], Mutant]], folder: Path) -> None:
    """Try many mutants, print what became of them and keep the stories of those that kill."""
    from astrollava.errors import InvalidModelFile, ProjectorMismatch
    from astrollava.models import gguf

    llama = Llama()
    folder.mkdir(parents=True, exist_ok=True)
    text, mmproj = folder / "text.gguf", folder / "mmproj.gguf"
    tally: Counter[str] = Counter()
    for number, make in enumerate(makers, 1):
        mutant = make()
        text.write_bytes(mutant.text)
        mmproj.write_bytes(mutant.mmproj)
        try:
            gguf.check_pair(gguf.read_header(text), gguf.read_header(mmproj))
        except (InvalidModelFile, ProjectorMismatch) as error:
            tally[type(error).__name__] += 1
            continue
        try:
            outcome = llama.run(text, mmproj)
        except Crashed as crash:
            tally["CRASH"] += 1
            print(f"CRASH {mutant.story}\n{crash}\n", flush=True)
            (folder / f"{number}.txt").write_text(f"{mutant.story}\n{crash}")
        else:
            tally[outcome.split()[0].rstrip(":")] += 1
        if sum(tally.values()) % 500 == 0:
            print(number, dict(tally), flush=True)
    print("end", dict(tally))
    llama.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        first, count = int(sys.argv[2]), int(sys.argv[3])
        hunt((partial(make_mutant, first + i) for i in range(count)), Path(sys.argv[1]))
    else:
        hunt(single_changes(), Path(sys.argv[1]))
