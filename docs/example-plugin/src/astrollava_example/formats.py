"""A stretch, and a format for results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrollava.hooks import Exporter


def smoothstep(values: np.ndarray) -> np.ndarray:
    """Return 3 x^2 - 2 x^3: flat at black and at white, steep between."""
    return values * values * (3.0 - 2.0 * values)


class Markdown(Exporter):
    """Writes a list in Markdown."""

    name = "markdown-list"
    suffix = ".md"

    def write(self, results: Sequence[Any], path: Path) -> None:
        """Write one item a result: where the image is from, and what was said."""
        lines = []
        for result in results:
            where = result.provenance.source.get("path") or result.provenance.source["kind"]
            # What a result says is printed by str(), whatever kind it is.
            said = " ".join(str(result).split())
            lines.append(f"- `{Path(where).name}`: {said}\n")
        path.write_text("".join(lines), encoding="utf-8")
