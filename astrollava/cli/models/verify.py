"""``astrollava models verify``: are the files what they should be."""

from __future__ import annotations

import sys

from astrollava.cli._options import Json, Mmproj
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, say
from astrollava.cli.models._words import progress_bars
from astrollava.cli.models.show import Name
from astrollava.errors import HashMismatch

__all__ = ["verify"]


def verify(name: Name, mmproj: Mmproj = None, as_json: Json = False) -> None:
    """Read every byte of a model and hold it against its SHA-256.

    The exit code is 3 if a file is not what it should be.
    """
    from astrollava.models import resolve, store

    files = resolve(name, mmproj, download=False)
    with progress_bars() as progress:
        found = list(store.verify(files, progress=progress))
    for file in found:
        if as_json:
            write_json(
                {
                    "path": str(file.path),
                    "sha256": file.sha256,
                    "expected": file.expected,
                    "by": file.by,
                    "sound": file.sound,
                }
            )
            continue
        state = "ok" if file.expected and file.sound else "unknown" if file.sound else "WRONG"
        say(f"{state:8}{file.sha256}  {clean_line(str(file.path))}")
        if file.expected is None:
            sys.stderr.write(f"note   nothing says which hash {file.path.name} should have\n")
    wrong = [file for file in found if not file.sound]
    if wrong:
        raise HashMismatch(
            f"{', '.join(file.path.name for file in wrong)} changed since it was made",
            expected=f"SHA-256 {wrong[0].expected} by the {wrong[0].by}",
            hint=f"astrollava models remove {name}, then: astrollava models pull {name}",
        )
