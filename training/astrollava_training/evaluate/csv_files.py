"""CSV files as people have them: from a program, or saved by a spreadsheet of any country."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["csv_lines", "csv_rows"]

#: What separates cells: a spreadsheet takes semicolons where the decimal point is a comma.
_SEPARATORS = ",;\t"


@contextmanager
def csv_lines(path: Path) -> Iterator[Reader]:
    """Open a CSV file in UTF-8; what separates its cells is what is most often in its first line.

    Raises
    ------
    InvalidRequest
        The file cannot be read, now or later.
    """
    try:
        # Excel writes the mark of UTF-8 at the start.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            separator = max(_SEPARATORS, key=first.count)
            yield csv.reader(stream, delimiter=separator, strict=True)
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"{path} is not written in UTF-8", hint="Save it as “CSV UTF-8” in a spreadsheet"
        ) from None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}") from error
    except csv.Error as error:
        raise InvalidRequest(f"{path} cannot be read as CSV ({error})") from error


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows by the names of their columns; a cell that is left out is empty.

    Raises
    ------
    InvalidRequest
        As `csv_lines`.
    """
    with csv_lines(path) as lines:
        columns = next(lines, [])
        rest = [line for line in lines if line]
    return [
        dict(zip(columns, [*line, *[""] * (len(columns) - len(line))], strict=False))
        for line in rest
    ]
