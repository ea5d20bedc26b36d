"""Whether the model waits for the sky: cutouts fetched ahead, and found again in the cache.

    python tests/benchmarks/bench_fetch.py [--cutouts N] [--latency SECONDS] [--pair embedded|made]

A service in a process of its own, on the loopback device, answers each request after the latency
with a FITS cutout of three bands, 240 x 240 pixels. `describe_many` fetches and describes them;
every two milliseconds it is looked whether the engine has anything to do. Beside it the same images
from memory. Then cache hits are timed beside reading their files. Exits with 1 where a promise is
not kept.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import astropy.units as u
from astropy.coordinates import SkyCoord

from astrollava import Describer, images
from astrollava.hooks.fetching import fetch
from astrollava.hooks.fetching.cache import cutout_key
from benching import Report, embedded_pair, made_pair
from sky_service import Asked, Reply, SkyFetcher, fits_bytes, serving

BUSY = 0.95
HIT = 2.0
SIZE = 9 * u.arcmin
PIXELS = 240
#: The largest that is usual, and one between: an entry of 12 MB, and one of 5.7.
LARGER = (687, 1000)


def serve(latency: float) -> None:
    """Answer until standard input ends."""
    ready: dict[str, bytes] = {}

    def answer(asked: Asked) -> Reply:
        if asked.query["pixels"] != str(PIXELS):
            pixels = int(asked.query["pixels"])
            place = asked.number("ra"), asked.number("dec"), asked.number("size")
            return Reply(fits_bytes(*place, pixels))
        return Reply(ready[asked.query["ra"]])

    with serving() as service:
        service.route("/cutout", answer)
        service.latency = latency
        for line in sys.stdin:
            # What it takes to draw the sky is no part of the measurement.
            ra, dec = (float(word) for word in line.split())
            ready[str(ra)] = fits_bytes(ra, dec, SIZE.to_value("deg"), PIXELS)
            print(service.url, flush=True)


class Watch:
    """Looks again and again whether the engine has anything to do."""

    def __init__(self, describer: Describer) -> None:
        self._engine: Any = describer._session.engine
        self._encode = self._engine.encode_image
        self._encoding = 0
        self._end = threading.Event()
        self._looks: list[bool] = []

    def __enter__(self) -> Watch:
        def encode(rgb: Any) -> Any:
            self._encoding += 1
            try:
                return self._encode(rgb)
            finally:
                self._encoding -= 1

        self._engine.encode_image = encode
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        del self._engine.encode_image

    def _look(self) -> None:
        while not self._end.wait(0.002):
            self._looks.append(self._encoding > 0 or self._engine._core.scheduler.busy)

    @property
    def busy(self) -> float:
        """The share of looks at which it had."""
        return sum(self._looks) / max(len(self._looks), 1)


def describe_all(describer: Describer, sources: Any, **options: Any) -> tuple[float, float]:
    """Return the seconds it took and the share of them in which the engine had something to do."""
    with Watch(describer) as watch:
        began = time.perf_counter()
        for _ in describer.describe_many(sources, progress=False, **options):
            pass
        seconds = time.perf_counter() - began
    return seconds, watch.busy


def milliseconds(call: Callable[[], object], times: int = 200) -> float:
    """Return the median of a call, in processor time: others may be at work here."""
    took = []
    for _ in range(times):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return 1000 * statistics.median(took)


def hits(report: Report, fetcher: SkyFetcher, cache: Path, position: SkyCoord) -> None:
    """Time cache hits beside reading the files they are in."""
    for pixels in (PIXELS, *LARGER):
        wanted = fetcher.plan(position, SIZE, pixels=pixels)
        fetch(fetcher, position, SIZE, pixels=pixels)
        entry = cache / "cutouts" / f"{cutout_key(fetcher, wanted)}.cutout"
        hit = milliseconds(lambda pixels=pixels: fetch(fetcher, position, SIZE, pixels=pixels))
        read = milliseconds(entry.read_bytes)
        file = cache / "same.fits"
        file.write_bytes(fits_bytes(1.0, 1.0, SIZE.to_value("deg"), pixels))
        parsed = milliseconds(lambda file=file: images.read(file), 20)
        over = hit - read
        what = f"a hit over reading its bytes, 3 x {pixels} x {pixels}"
        report.row(what, f"{over:.2f} ms", promise=f"< {HIT:g} ms", kept=over < HIT)
        report.row("  its bytes; the same image read from FITS", f"{read:.2f}; {parsed:.2f} ms")


def measure(given: argparse.Namespace) -> int:
    """Print the tables."""
    report = Report()
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        os.environ["ASTROLLAVA_CACHE"] = str(folder / "cache")
        service = undo.enter_context(
            subprocess.Popen(
                [sys.executable, __file__, "--serve", str(given.latency)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert service.stdin is not None
        assert service.stdout is not None
        undo.callback(service.stdin.close)
        numbers = range(1, given.cutouts + 1)
        for number in numbers:
            print(float(number), number % 60, file=service.stdin, flush=True)
            url = service.stdout.readline().strip()
        fetcher = SkyFetcher(base_url=url)
        sky = [SkyCoord(number, number % 60, unit="deg") for number in numbers]
        pair = embedded_pair() if given.pair == "embedded" else made_pair(folder)
        describer = undo.enter_context(pair.describer())
        list(describer.describe_many([images.example()] * 8, progress=False))

        report.title(f"{given.cutouts} cutouts after {1000 * given.latency:g} ms, {pair.name}")
        options = {"size": SIZE, "pixels": PIXELS, "max_tokens": pair.max_tokens}
        seconds, busy = describe_all(describer, sky, fetch=fetcher, **options)
        report.row(
            "the engine has work", f"{busy:.1%}", promise=f">= {BUSY:.0%}", kept=busy >= BUSY
        )
        report.row("images a second", f"{given.cutouts / seconds:.1f}")
        again, _ = describe_all(describer, sky, fetch=fetcher, **options)
        report.row("  again, from the cache on disk", f"{given.cutouts / again:.1f}")
        held = [fetch(fetcher, where, SIZE, pixels=PIXELS) for where in sky]
        alone, _ = describe_all(describer, held, max_tokens=pair.max_tokens)
        report.row("  again, from memory", f"{given.cutouts / alone:.1f}")

        report.title("the cache, in processor time")
        hits(report, fetcher, folder / "cache", sky[0])
    return 0 if report.kept else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cutouts", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--pair", choices=["embedded", "made"], default="embedded")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return 0
    return measure(given)


if __name__ == "__main__":
    sys.exit(main())
