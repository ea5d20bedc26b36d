"""Write a fitted calibration into a text file that exists already."""

from __future__ import annotations

from pathlib import Path

import gguf

from astrollava.errors import InvalidModelFile
from astrollava_training.export import storage
from astrollava_training.export.about import check_calibration

__all__ = ["set_calibration"]


def set_calibration(text: Path, temperature: float, threshold: float) -> None:
    """Replace the label temperature and threshold of a file that `export` wrote.

    They are fitted on what the exported, quantized pair answers, so they come after the weights.
    ``SHA256SUMS`` beside the file is brought up to date.

    Parameters
    ----------
    text : pathlib.Path
        The text file of a pair.
    temperature : float
        Above zero.
    threshold : float
        In [0, 1).

    Raises
    ------
    InvalidRequest
        For values outside their ranges.
    InvalidModelFile
        For a file without these keys.
    """
    check_calibration(temperature, threshold)
    reader = gguf.GGUFReader(text, "r+")
    for key, value in {"temperature": temperature, "threshold": threshold}.items():
        field = reader.get_field(f"astrollava.labels.{key}")
        if field is None:
            raise InvalidModelFile(
                f"{text.name} has no key astrollava.labels.{key}",
                expected="a text file written by astrollava_training.export",
            )
        field.parts[field.data[0]][0] = value
    reader.data.flush()
    sums = text.parent / "SHA256SUMS"
    if sums.exists():
        names = [line.split("  ", 1)[1] for line in sums.read_text("ascii").splitlines()]
        storage.write_checksums(text.parent / name for name in names)
