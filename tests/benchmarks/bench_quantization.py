"""What fewer bits cost: size, speed and agreement of a model in each storage type.

    python tests/benchmarks/bench_quantization.py PICTURES... [--model NAME] [--threads N]

The model is taken to f16 first; every other row is quantized from that and compared with it on the
pictures given, by descriptions (greedy) and by Galaxy10 labels. All rows take turns picture by
picture, so that a busy machine slows them alike; times are in processor seconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from astrollava import Describer
from astrollava.models import facts, resolve
from astrollava.quantize import quantize

#: Language model, then tower and projector. The first row is what the others are compared with.
ROWS = (
    ("f16", "f16"), ("q8_0", "q8_0"), ("q6_k", "q8_0"), ("q5_k_m", "q8_0"), ("q4_k_m", "q8_0"),
    ("q4_0", "q8_0"), ("q3_k_m", "q8_0"), ("q2_k", "q8_0"), ("q8_0", "q5_0"), ("q8_0", "q4_0"),
)  # fmt: skip


@dataclass
class Row:
    """One pair and what it said."""

    kinds: tuple[str, str]
    describer: Describer
    megabytes: tuple[float, float]
    texts: list[str] = field(default_factory=list)
    labels: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def see(self, picture: Path) -> None:
        """Describe a picture and label it; the first is timed."""
        begun = time.process_time()
        result = self.describer.describe(picture)
        self.seconds.append(time.process_time() - begun)
        self.tokens.append(result.provenance.generation["generated_tokens"])
        self.texts.append(str(result))
        self.labels.append(dict(self.describer.classify(picture).probabilities))


def make_rows(model: str, folder: Path, threads: int) -> list[Row]:
    """Quantize the model in every way, and load all."""
    whole = quantize(resolve(model), "f16", folder / "f16", mmproj_quantize="f16", requantize=True)
    assert whole is not None
    rows = []
    for text, mmproj in ROWS:
        out = folder / f"{text}-{mmproj}"
        made = whole if text == "f16" else quantize(whole, text, out, mmproj_quantize=mmproj)
        assert made is not None
        sizes = {role: file["bytes"] / 1e6 for role, file in facts(made).files.items()}
        describer = Describer(made.text, mmproj=made.mmproj, threads=threads)
        rows.append(Row((text, mmproj), describer, (sizes["text"], sizes["mmproj"])))
    return rows


def shift(one: dict[str, float], other: dict[str, float]) -> float:
    """Return half the sum of the differences of two sets of probabilities, from 0 to 1."""
    return sum(abs(one[label] - other[label]) for label in one) / 2


def line(row: Row, first: Row) -> str:
    """Return a row of the table, in Markdown."""
    same_text = statistics.mean(a == b for a, b in zip(row.texts, first.texts, strict=True))
    pairs = list(zip(row.labels, first.labels, strict=True))
    same_label = statistics.mean(max(a, key=a.get) == max(b, key=b.get) for a, b in pairs)  # type: ignore[arg-type]
    moved = statistics.mean(shift(a, b) for a, b in pairs)
    pace = statistics.median(s / t for s, t in zip(row.seconds, row.tokens, strict=True))
    cells = [
        *row.kinds, *(f"{size:.2f}" for size in row.megabytes),
        f"{statistics.median(row.seconds) * 1e3:.0f}", f"{pace * 1e3:.2f}",
        f"{same_label:.0%}", f"{moved:.4f}", f"{same_text:.0%}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(options.model, Path(folder), options.threads)
        for picture in options.pictures:
            for row in rows:
                row.see(picture)
        print(
            "| text | mmproj | text MB | mmproj MB | ms an image | ms a token | same label"
            " | probability moved | same text |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for row in rows:
            print(line(row, rows[0]))
        for row in rows:
            row.describer.close()
    print(f"{len(options.pictures)} pictures, {options.threads} threads")


if __name__ == "__main__":
    main()
