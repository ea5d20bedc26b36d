"""Many images, questions and labels at a time, against other ways to run the same files.

    python tests/benchmarks/bench_engine.py [--llama-server PATH] [--pair embedded|made]...
        [--only many|questions|labels|limits]... [--images N] [--rounds N] [--long]

Sides take turns, so that a busy machine slows all alike, and ratios are medians over rounds. The
pair "made" has random weights: a tower and a language model of 85M parameters each, both Q8_0, 64
image tokens, 48 tokens generated. llama-cpp-python's handler and llama-server run with one thread
and with all; the better counts. With --long the cost of an image, and the memory held, are followed
up to 10,000 images. Exits with 1 where a promise is not kept.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from astrollava import prompts
from astrollava._session import continued
from astrollava.engine import ContinuationScore, Sampling
from astrollava.images import read, render
from astrollava.vocabularies import GALAXY10
from bare_llama import BareText
from bare_many import floor_of
from benching import N_CTX, Pair, Report, embedded_pair, galaxy, made_pair, timed
from machine_limits import cores, memory_bandwidth, operations, resident
from other_runtimes import HandlerLoop, LlamaServer, Said

PROMPT = prompts.DESCRIBE.text
QUESTIONS = (
    "Is there a bar?", "How many spiral arms are there?", "Is it seen edge-on?", "Is it merging?",
    "Is it disturbed?", "How round is it?", "Is there a bulge?", "Is there a ring?",
    "Is there a dust lane?", "Does it have a disk?",
)  # fmt: skip
FIRST = "What do you see?"
PARTS = ("many", "questions", "labels", "limits")

Side = Callable[[Sequence[bytes]], list[Said]]


@dataclass(frozen=True)
class Run:
    """One side's answers about the images of a round, and what they took."""

    seconds: float
    processor: float
    said: list[Said]


def run(side: Side, images: Sequence[bytes], processor: Callable[[], float]) -> Run:
    """Let one side answer."""
    before = processor()
    seconds, said = timed(side, images)
    return Run(seconds, processor() - before, said)


class Bench:
    """One pair under measurement."""

    def __init__(self, pair: Pair, options: argparse.Namespace, report: Report) -> None:
        self.pair = pair
        self.options = options
        self.report = report
        self.describer = pair.describer(options.parallel)
        self.engine = self.describer._session.engine
        self._seeds = itertools.count()

    def draw(self, n: int) -> list[bytes]:
        """Make images nobody has seen: none is to be found in a cache."""
        return [galaxy(next(self._seeds), self.engine.image_size[0]) for _ in range(n)]

    def prompt(self, text: str) -> str:
        """Write a question about one image as the model reads it."""
        content = [{"type": "image"}, {"type": "text", "text": text}]
        return self.engine.format([{"role": "user", "content": content}])

    def pixels(self, png: bytes) -> Any:
        """Render an image as the describer does."""
        facts = self.describer.facts
        return render(
            read(png),
            size=self.engine.image_size,
            rule=facts.render_rule,
            background=facts.render_background,
        ).rgb

    # Many images ---------------------------------------------------------------------------------

    def many(self) -> None:
        """Compare `describe_many` with the handler and the server."""
        with ExitStack() as undo:
            sides = {f"describe_many, {self.engine.threads} threads": self.describe}
            clocks: dict[str, Callable[[], float]] = {}
            for threads in sorted({1, cores()}):
                handler = undo.enter_context(
                    HandlerLoop(self.pair.text, self.pair.mmproj, threads=threads, n_ctx=N_CTX)
                )
                sides[f"handler, {threads} threads"] = partial(self._ask_all, handler)
                if self.options.llama_server is None:
                    continue
                server = undo.enter_context(
                    LlamaServer(
                        self.options.llama_server, self.pair.text, self.pair.mmproj,
                        slots=self.engine.parallel, threads=threads, n_ctx=N_CTX,
                    )
                )  # fmt: skip
                name = f"server, {threads} threads"
                sides[name] = partial(self._ask_all, server)
                clocks[name] = server.processor_seconds
            for side in sides.values():
                side(self.draw(self.engine.parallel + 1 if side == self.describe else 2))
            rounds = []
            for turn in range(self.options.rounds):
                images, names = self.draw(self.options.images), list(sides)
                shift = turn % len(names)
                rounds.append({
                    name: run(sides[name], images, clocks.get(name, time.process_time))
                    for name in names[shift:] + names[:shift]
                })  # fmt: skip
        self._print_many(list(sides), rounds)

    def _ask_all(self, other: HandlerLoop | LlamaServer, images: Sequence[bytes]) -> list[Said]:
        return other.answer_all(images, PROMPT, self.pair.max_tokens)

    def _print_many(self, names: Sequence[str], rounds: Sequence[dict[str, Run]]) -> None:
        own, count = names[0], self.options.images
        spoken = statistics.mean(n for each in rounds for _, n in each[own].said)
        self.report.title(
            f"{self.pair.name}: {count} images, {self.engine.parallel} at a time,"
            f" {self.engine.image_tokens} tokens each, {spoken:.0f} generated"
        )
        for name in names:
            seconds = statistics.median(each[name].seconds for each in rounds)
            processor = statistics.median(each[name].processor for each in rounds)
            self.report.row(
                f"{name}, {processor / count * 1e3:.1f} ms of processors an image",
                f"{count / seconds:.2f} img/s",
            )
        for kind, promise in (("handler", self.pair.promise), ("server", 1.0)):
            theirs = [[each[name] for name in names if name.startswith(kind)] for each in rounds]
            if not theirs[0]:
                continue
            # The number of threads that was best for it in that round.
            best = [min(runs, key=lambda each: each.seconds) for runs in theirs]
            pairs = list(zip(best, (each[own] for each in rounds), strict=True))
            ratio = statistics.median(other.seconds / ours.seconds for other, ours in pairs)
            work = statistics.median(other.processor / ours.processor for other, ours in pairs)
            equal = [
                a[0] == b[0]
                for other, ours in pairs
                for a, b in zip(other.said, ours.said, strict=True)
            ]
            self.report.row(
                f"describe_many faster than {kind}; {sum(equal)} of {len(equal)} texts the same",
                f"{ratio:.2f}",
                promise=f">= {promise}",
                kept=ratio >= promise,
            )
            self.report.row("  in processor time", f"{work:.2f}")
        images = self.draw(6)
        alone = [str(self.describer.describe(each, max_tokens=self.pair.max_tokens))
                 for each in images]  # fmt: skip
        equal = [a == b for a, (b, _) in zip(alone, self.describe(images), strict=True)]
        self.report.row(
            "texts the same as one image at a time", f"{sum(equal)} of {len(equal)}",
            promise="all", kept=all(equal),
        )  # fmt: skip

    def describe(self, images: Sequence[bytes]) -> list[Said]:
        """Describe images many at a time."""
        results = self.describer.describe_many(
            images, on_error="return", max_tokens=self.pair.max_tokens, progress=False
        )
        return [(str(each), each.provenance.generation["generated_tokens"]) for each in results]

    # Many questions ------------------------------------------------------------------------------

    def questions(self) -> None:
        """Compare ten further questions on an image with the bare cost of their tokens."""
        engine, limit = self.engine, {"max_tokens": self.pair.max_tokens}
        text = BareText(self.pair.text, threads=engine.threads, n_ctx=N_CTX)
        rows = []
        for png in self.draw(2 * self.options.rounds + 1):
            first, again, later = self._waits(png)
            together, answers = timed(self.describer.ask_all, png, QUESTIONS, **limit)
            seen = engine.encode_image(self.pixels(png))
            own = bare = 0
            for each in answers:
                plan = engine._plan(self.prompt(each.question), [seen])
                asked = len(plan.tail_tokens)
                text.hold(plan.tokens - asked)
                bare += text.answer(asked, each.provenance.generation["generated_tokens"] + 1)
                text.forget()
                own += asked
            rows.append((together, bare, together / bare, first, again, later, later / first))
        text.close()
        # The first image pays for what is set up once.
        columns = zip(*rows[1:], strict=True)
        together, bare, ratio, first, again, later, share = map(statistics.median, columns)
        own //= len(QUESTIONS)
        tower, weights = self.pair.weights
        least = weights * own / (tower * engine.image_tokens + weights * plan.tokens)
        row = self.report.row
        self.report.title(f"{self.pair.name}: {len(QUESTIONS)} further questions on one image")
        row(f"all, {together * 1e3:.1f} ms, over their own tokens one by one, {bare * 1e3:.1f} ms",
            f"{ratio:.2f}", promise="< 2", kept=ratio < 2)  # fmt: skip
        row("wait for text, the first question on an image", f"{first * 1e3:.1f} ms")
        row("  a further one, the image read from its file again", f"{again * 1e3:.1f} ms")
        row(f"  a further one, the image at hand: {later * 1e3:.1f} ms, over the first",
            f"{share:.1%}", promise="< 5%", kept=share < 0.05)  # fmt: skip
        row(f"  {own} tokens' share of a first question's operations", f"{least:.1%}")

    def _waits(self, png: bytes) -> tuple[float, float, float]:
        """Wait for the first piece of text: of a first question, and of two ways to ask another."""

        def ask(question: str) -> None:
            with self.describer.ask(png, question, stream=True, max_tokens=8) as stream:
                next(stream)

        def ask_engine(question: str) -> None:
            prompt = self.prompt(question)
            with closing(self.engine.complete(prompt, [seen], sampling=few)) as completion:
                next(completion)

        few = Sampling(max_tokens=8)
        first, _ = timed(ask, FIRST)
        again, _ = timed(ask, QUESTIONS[0])
        seen = self.engine.encode_image(self.pixels(png))
        later, _ = timed(ask_engine, QUESTIONS[1])
        return first, again, later

    # Labels --------------------------------------------------------------------------------------

    def labels(self) -> None:
        """Compare scoring ten labels with an answer of one token."""
        prompt = self.prompt(GALAXY10.question)
        answers = [continued(prompt, GALAXY10.answers[label]) for label in GALAXY10.labels]
        rows, differences = [], []
        for _ in range(3 * self.options.rounds + 1):
            one, other, third = self.draw(3)
            scoring, scores = timed(self._score, prompt, self.pixels(one), answers)
            saying, _ = timed(self._say_one_token, prompt, self.pixels(other))
            whole, _ = timed(self.describer.classify, third)
            rows.append((scoring, saying, scoring / saying, whole / saying))
            for answer, score in zip(answers, scores, strict=True):
                alone = self._score(prompt, self.pixels(one), [answer])[0]
                differences.append(abs(alone.logprob - score.logprob))
        columns = zip(*rows[1:], strict=True)
        scoring, saying, ratio, whole = (statistics.median(each) for each in columns)
        tokens = sum(score.tokens for score in scores)
        self.report.title(
            f"{self.pair.name}: {len(answers)} labels of Galaxy10, {tokens} tokens, for one image"
        )
        self.report.row(
            f"scoring, {scoring * 1e3:.1f} ms, over an answer of one token, {saying * 1e3:.1f} ms",
            f"{ratio:.2f}", promise="<= 1.3", kept=ratio <= 1.3,
        )  # fmt: skip
        self.report.row("  all of classify over that answer", f"{whole:.2f}")
        self.report.row(
            "largest difference from scores one by one", f"{max(differences):.1e}",
            promise="<= 1e-3", kept=max(differences) <= 1e-3,
        )  # fmt: skip

    def _score(self, prompt: str, rgb: Any, answers: Sequence[str]) -> list[ContinuationScore]:
        return self.engine.score(prompt, [self.engine.encode_image(rgb)], answers)

    def _say_one_token(self, prompt: str, rgb: Any) -> str:
        seen = self.engine.encode_image(rgb)
        return self.engine.complete(prompt, [seen], sampling=Sampling(max_tokens=1)).run()

    # Limits --------------------------------------------------------------------------------------

    def limits(self) -> None:
        """Say what an image costs at least, and how near `describe_many` is to that."""
        engine, every = self.engine, cores()
        shown = [self.pixels(each) for each in self.draw(8)]
        encode = min(timed(engine.encode_image, rgb)[0] for rgb in shown)
        encode *= engine._core.projector.threads / every
        images = self.draw(self.options.images)
        self.describe(images[: engine.parallel + 1])
        seconds, said = timed(self.describe, images)
        ours = seconds / len(images)
        spoken = statistics.mean(n for _, n in said)
        completion = engine.complete(
            self.prompt(PROMPT), [engine.encode_image(shown[0])], sampling=Sampling(max_tokens=1)
        )
        completion.run()
        asked = completion.prompt_tokens
        text = BareText(self.pair.text, threads=every, n_ctx=N_CTX)
        prefill, many = text.prompt(asked), text.prompt(512)
        text.hold(asked)
        token = text.answer(1, 33) / 33
        text.close()
        tower, weights = self.pair.weights
        work = 2 * (tower * engine.image_tokens + weights * (asked + spoken))
        size, peak, speed = self.pair.text.stat().st_size, operations(), memory_bandwidth()
        rate = 2 * weights * 512 / many
        row = self.report.row
        self.report.title(f"{self.pair.name}: where the limit lies; one image, {every} cores")
        row("describe_many", f"{ours * 1e3:.1f} ms")
        if engine.threads == engine._core.projector.threads == 1:
            floor = floor_of(engine, self.prompt(PROMPT), shown, round(spoken))
            row(f"the same evaluations by two threads that do nothing else: tower"
                f" {floor.tower_beside * 1e3:.1f} ms, text {floor.text_beside * 1e3:.1f} ms, both"
                " cores busy", f"{floor.seconds * 1e3:.1f} ms")  # fmt: skip
        row(f"encoding, perfectly shared, and {asked} prompt tokens: nothing said",
            f"{(encode + prefill) * 1e3:.1f} ms")  # fmt: skip
        row(f"  encoding {encode * 1e3:.1f} ms, prompt {prefill * 1e3:.1f} ms:"
            " describe_many over that", f"{ours / (encode + prefill):.2f}")  # fmt: skip
        row(f"{work / 1e9:.2f} G operations at llama.cpp's best, {rate / 1e9:.0f} G/s",
            f"{work / rate * 1e3:.1f} ms")  # fmt: skip
        row(f"  at the peak of 32-bit floats, {peak / 1e9:.0f} G/s",
            f"{work / peak * 1e3:.1f} ms")  # fmt: skip
        row(f"a token alone, {token * 1e3:.2f} ms, over {size / 1e6:.1f} MB"
            f" at {speed / 1e9:.0f} GB/s, {size / speed * 1e3:.2f} ms",
            f"{token / (size / speed):.1f}")  # fmt: skip

    # Very many images ----------------------------------------------------------------------------

    def long(self) -> None:
        """Follow cost and memory up to ten thousand images."""
        marks = (10, 100, 1_000, 2_000, 10_000)
        drawn = [self.pixels(each) for each in self.draw(64)]

        def sources() -> Iterator[Any]:
            # Drawing costs as much as describing: a pixel makes another image of an old one.
            for n in range(marks[-1]):
                picture = drawn[n % len(drawn)].copy()
                picture[0, 0] = (*divmod(n // 256, 256), n % 256)
                yield picture

        self.report.title(f"{self.pair.name}: up to {marks[-1]} images")
        rows: dict[int, tuple[float, int]] = {}
        last, since, worked = 0, time.perf_counter(), time.process_time()
        results = self.describer.describe_many(
            sources(), on_error="return", max_tokens=self.pair.max_tokens, progress=False
        )
        for count, _ in enumerate(results, start=1):
            if count not in marks:
                continue
            seconds, work = time.perf_counter() - since, time.process_time() - worked
            rows[count] = work / (count - last), resident()
            self.report.row(
                f"up to {count}: an image since the row above,"
                f" {seconds / (count - last) * 1e3:.1f} ms, of processors",
                f"{rows[count][0] * 1e3:.1f} ms {rows[count][1] / 1e6:.0f} MB",
            )
            last, since, worked = count, time.perf_counter(), time.process_time()
        cost = rows[10_000][0] / rows[100][0]
        # Until then encoded images fill what is set apart for them.
        growth = rows[10_000][1] / rows[2_000][1]
        self.report.row(
            "processor time of an image, the last thousands over the first hundred", f"{cost:.2f}",
            promise="<= 1.1", kept=cost <= 1.1,
        )  # fmt: skip
        self.report.row(
            "memory after all over that after 2000", f"{growth:.2f}",
            promise="<= 1.05", kept=growth <= 1.05,
        )  # fmt: skip


def main() -> int:
    """Print the tables; exit with 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-server", type=Path, help="llama.cpp's server, to compare with")
    parser.add_argument("--pair", action="append", choices=("embedded", "made"))
    parser.add_argument(
        "--only", action="append", choices=("many", "questions", "labels", "limits")
    )
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, help="images at work at a time")
    parser.add_argument("--long", action="store_true", help="only follow 10,000 images")
    options = parser.parse_args()
    report = Report()
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.pair or ("embedded", "made"):
            pair = embedded_pair() if name == "embedded" else made_pair(Path(folder))
            bench = Bench(pair, options, report)
            chosen = options.only or PARTS
            for part in ("long",) if options.long else chosen:
                getattr(bench, part)()
            bench.describer.close()
    return int(not report.kept)


if __name__ == "__main__":
    raise SystemExit(main())
