"""Make the README's picture and output again, from the code and the model as they are now.

    python docs/make_readme_assets.py

Only the bundled, simulated galaxy is shown. Run it after the embedded model changed: a test
compares the hash of the model that the README was made with.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from astrollava import Classification, Describer, Description
from astrollava.images import example, read, render

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "describe.png"
README = ROOT / "README.md"

# Twice the size it is shown at, for sharp screens.
SIDE, WIDTH, MARGIN = 640, 1640, 48
GROUND, INK, DIM, ACCENT = (13, 17, 23), (230, 237, 243), (125, 133, 144), (121, 192, 255)


def model_mark(description: Description) -> str:
    """The files that made the output, in one short word."""
    files = description.provenance.model["files"]
    return "-".join(files[role]["sha256"][:12] for role in sorted(files))


def figure(description: Description, labels: Classification) -> Image.Image:
    """The rendered galaxy at the left, the model's words and probabilities at the right."""
    galaxy = render(read(example()), size=(SIDE, SIDE), rule="pad")
    canvas = Image.new("RGB", (WIDTH, SIDE + 2 * MARGIN), GROUND)
    canvas.paste(Image.fromarray(galaxy.rgb), (MARGIN, MARGIN))
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(36), ImageFont.load_default(28)
    x, y = SIDE + 2 * MARGIN, MARGIN
    for line in textwrap.wrap(description.text, 44, max_lines=7, placeholder=" ..."):
        draw.text((x, y), line, fill=INK, font=large)
        y += 52
    y = MARGIN + SIDE - 240
    right = WIDTH - MARGIN
    for rank, (label, probability) in enumerate(list(labels.probabilities.items())[:4]):
        colour = ACCENT if rank == 0 else DIM
        draw.text((x, y), label, fill=INK if rank == 0 else DIM, font=small)
        draw.text((right, y), f"{probability:.0%}", fill=colour, font=small, anchor="ra")
        length = max(4, round(probability * (right - x)))
        draw.rectangle((x, y + 40, x + length, y + 46), fill=colour)
        y += 64
    return canvas


def demo_output() -> str:
    """What `astrollava demo` prints where no terminal is."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "astrollava", "demo"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    # A pipe is not wrapped; a page is.
    wrapped = [textwrap.fill(line, 88) if len(line) > 88 else line for line in lines]
    return "\n".join(wrapped).strip("\n")


def main() -> None:
    with Describer() as describer:
        description = describer.describe(example())
        labels = describer.classify(example())
    PICTURE.parent.mkdir(exist_ok=True)
    figure(description, labels).save(PICTURE, optimize=True)
    mark, output = model_mark(description), demo_output()
    block = f"<!-- output {mark} -->\n```text\n{output}\n```\n<!-- /output -->"
    text = README.read_text(encoding="utf-8")
    text, count = re.subn(r"<!-- output.*?<!-- /output -->", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit("README.md has no place for the output: <!-- output --><!-- /output -->")
    README.write_text(text, encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)} and the output in {README.name}")


if __name__ == "__main__":
    main()
