"""How fast a checkpoint is converted, beside a plain copy of it on the same disk.

    python tests/benchmarks/bench_convert.py [--layers 4] [--dtype F16] [--quantize f16] [--runs 3]

Generates a LLaVA of the 7B model's widths with a few layers and random weights, and takes turns:
read it (cat), copy it (dd), verify it, convert it, write as many bytes as the pair has, each from a
disk cache without it, each to the end of an fsync. Writes one JSON object with the rates in MB of
the checkpoint per second. Needs an idle machine: a conversion hashes the checkpoint beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from astrollava.models import ModelFiles
from astrollava.models.checkpoint import open_checkpoint
from astrollava.models.convert import convert
from astrollava.models.store import verify
from plain_checkpoint import PlainLlava

_PIECE = 16 << 20


def generate(folder: Path, layers: int, dtype: str) -> Path:
    """Write the checkpoint and return its weights' file."""
    model = PlainLlava(
        width=4096, inner=11008, heads=32, layers=layers, vocabulary=32064, dtype=dtype,
        tower_width=1024, tower_inner=4096, tower_layers=24, image=336,
    )  # fmt: skip
    path = model.save(folder, sparse=True) / "model.safetensors"
    draw = np.random.default_rng(0).standard_normal(_PIECE // 4, np.float32) * np.float32(0.02)
    if dtype == "F16":
        draw = draw.astype(np.float16)
    elif dtype == "BF16":
        draw = (draw.view(np.uint32) >> 16).astype(np.uint16)
    raw, size = draw.tobytes(), path.stat().st_size
    with path.open("r+b") as file:
        at = 8 + int.from_bytes(file.read(8), "little")
        file.seek(at)
        while at < size:
            at += file.write(raw[: size - at])
        file.flush()
        os.fsync(file.fileno())
    return path


def forget(path: Path) -> None:
    """Take a file out of the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(source: Path) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(["cat", source], stdout=nowhere, check=True)


def copy(source: Path, target: Path) -> None:
    command = ["dd", f"if={source}", f"of={target}", f"bs={_PIECE}", "conv=fsync", "status=none"]
    subprocess.run(command, check=True)


def write(target: Path, size: int) -> None:
    piece = np.random.default_rng(0).bytes(_PIECE)
    with target.open("wb", buffering=0) as file:
        for at in range(0, size, _PIECE):
            file.write(piece[: size - at])
        os.fsync(file.fileno())


def hashed(source: Path) -> None:
    """Hash it as `astrollava models verify` does."""
    for _ in verify(ModelFiles("this", source, Path(os.devnull))):
        return


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--layers", type=int, default=4)
    asked.add_argument("--dtype", choices=["F32", "F16", "BF16"], default="F16")
    asked.add_argument("--quantize", default="f16")
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--folder", type=Path, help="on the disk to measure")
    options = asked.parse_args()
    seconds: dict[str, list[float]] = {
        what: [] for what in ("read", "write", "copy", "verify", "convert", "convert_cpu")
    }
    written = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as room:
        folder = Path(room)
        weights = generate(folder / "llava", options.layers, options.dtype)
        size = weights.stat().st_size
        for _ in range(options.runs):
            for what, step in (
                ("read", lambda: read(weights)),
                ("copy", lambda: copy(weights, folder / "copy")),
                ("verify", lambda: hashed(weights)),
            ):
                forget(weights)
                start = time.perf_counter()
                step()
                seconds[what].append(time.perf_counter() - start)
            (folder / "copy").unlink()
            forget(weights)
            start, cpu = time.perf_counter(), time.process_time()
            convert(open_checkpoint(folder / "llava"), folder / "out", quantize=options.quantize)
            seconds["convert"].append(time.perf_counter() - start)
            seconds["convert_cpu"].append(time.process_time() - cpu)
            written = sum(path.stat().st_size for path in (folder / "out").iterdir())
            shutil.rmtree(folder / "out")
            start = time.perf_counter()
            write(folder / "out", written)
            seconds["write"].append(time.perf_counter() - start)
            (folder / "out").unlink()
    rates = {what: size / 1e6 / statistics.median(taken) for what, taken in seconds.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {
        "checkpoint_gb": round(size / 1e9, 2),
        "dtype": options.dtype,
        "quantize": options.quantize,
        "mb_per_s": {what: round(rate) for what, rate in rates.items()},
        "convert_of_copy": round(rates["convert"] / rates["copy"], 2),
        "convert_of_read": round(rates["convert"] / rates["read"], 2),
        "convert_of_write": round(rates["convert"] / rates["write"], 2),
        # Reading and writing one after the other, which is what a disk does with both.
        "convert_of_both": round(rates["convert"] * (1 / rates["read"] + 1 / rates["write"]), 2),
        "verify_of_read": round(rates["verify"] / rates["read"], 2),
        "peak_mb": round(peak),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
