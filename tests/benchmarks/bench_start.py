"""What a cold start costs: the import, the command without work, the first description.

    python tests/benchmarks/bench_start.py [--runs N] [SOURCE]

Each line is a new process, the best of N. The ratio is to the packages nobody can do without
(numpy, astropy, pillow, llama-cpp-python), imported alone in the same session: it says what is
ours, on a slow machine as on a fast one. Limits hold for the processor's seconds, which a busy
machine hardly changes; on an idle one the wall clock shows about the same. Leaves with 1 if a
limit is broken.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = "import numpy, astropy.io.fits, astropy.wcs, astropy.visualization, PIL.Image, llama_cpp"


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Attributes
    ----------
    wall, cpu : float
        Seconds.
    peak : float
        Resident memory in MB.
    """

    wall: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Limit:
    """The most a process may take; None where nothing was promised."""

    cpu: float | None = None
    peak: float | None = None
    ratio: float | None = None


def measure(arguments: Sequence[str], runs: int) -> Cost:
    """Run a Python process `runs` times and return the least of each figure."""
    costs = [_once([sys.executable, *arguments]) for _ in range(runs)]
    return Cost(
        min(cost.wall for cost in costs),
        min(cost.cpu for cost in costs),
        min(cost.peak for cost in costs),
    )


def _once(command: Sequence[str]) -> Cost:
    with tempfile.TemporaryFile() as output:
        silent = [(os.POSIX_SPAWN_DUP2, output.fileno(), stream) for stream in (1, 2)]
        start = time.perf_counter()
        child = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - start
        if status:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def table(source: Path, runs: int) -> int:
    """Print the figures and return how many limits are broken."""
    command = ["-m", "astrollava"]
    rows = [
        ("python -c pass", ["-c", "pass"], Limit()),
        ("import astrollava", ["-c", "import astrollava"], Limit(ratio=0.25)),
        ("astrollava --version", [*command, "--version"], Limit(cpu=0.4, ratio=0.5)),
        ("astrollava --help", [*command, "--help"], Limit(cpu=0.4, ratio=0.75)),
        ("the packages alone", ["-c", PACKAGES], Limit()),
        (
            "astrollava describe",
            [*command, "describe", str(source)],
            Limit(cpu=2.5, peak=400, ratio=2.5),
        ),
    ]
    costs = {name: measure(arguments, runs) for name, arguments, _ in rows}
    bare = costs["python -c pass"]
    packages = costs["the packages alone"]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, best of {runs}\n")
    print(f"{'':22}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}{'ratio':>7}   limits")
    broken = 0
    for name, _, limit in rows:
        cost = costs[name]
        ratio = cost.cpu / packages.cpu
        notes = []
        for what, figure, most in (
            ("cpu", cost.cpu, limit.cpu),
            ("peak", cost.peak, limit.peak),
            ("ratio", ratio, limit.ratio),
        ):
            if most is not None:
                notes.append(f"{what} < {most:g}{'' if figure < most else ' BROKEN'}")
                broken += figure >= most
        print(
            f"{name:22}{cost.wall:8.3f}{cost.cpu:8.3f}{cost.peak:9.0f}{ratio:7.2f}   "
            + ", ".join(notes)
        )
    own = costs["import astrollava"].cpu - bare.cpu
    broken += own >= 0.15
    print(f"\nimport astrollava itself: {own:.3f} s, limit 0.15 s")
    return broken


def _example() -> Path:
    # Asked of another process: a child's peak begins with the memory of its parent.
    code = "from astrollava.images import example; print(example())"
    return Path(subprocess.check_output([sys.executable, "-c", code], text=True).strip())


def main() -> None:
    """Read the arguments, print the table and leave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, help="the bundled example by default")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    source = arguments.source or _example()
    sys.exit(1 if table(source, arguments.runs) else 0)


if __name__ == "__main__":
    main()
