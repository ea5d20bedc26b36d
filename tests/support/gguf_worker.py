"""Load pairs of model files in llama.cpp, one a line of stdin, and say what became of each.

A process of its own because a bad file may kill it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys

import numpy as np


def main() -> None:
    faulthandler.enable(sys.stderr)
    # A file that makes llama.cpp allocate without end must fail here, not take the machine down.
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What llama.cpp prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        text, mmproj = json.loads(line)
        try:
            outcome = whole(text, mmproj)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps(outcome), file=answers, flush=True)


def whole(text: str, mmproj: str) -> str:
    """Load, describe a picture in a few tokens, close: what a user's call comes to."""
    from astrollava.engine import Engine, Sampling

    with Engine(text, mmproj, threads=1) as engine:
        height, width = engine.image_size
        rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
        image = engine.encode_image(rgb)
        prompt = f"{engine.image_marker}a b é\n"
        pieces = engine.complete(prompt, [image], sampling=Sampling(max_tokens=3))
        said = "".join(pieces)
        engine.score(prompt, [image], ["ab", " c"])
        return f"ok {said!r}"


if __name__ == "__main__":
    main()
