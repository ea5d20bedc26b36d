"""``trust``, ``questions`` and ``retention``: what a model invents, knows, and forgets."""

from __future__ import annotations

import argparse
import csv
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from astrollava_training.commands.evaluate import tell_notes, tell_split
from astrollava_training.commands.parser import (
    VOTES,
    add_device,
    add_pictures,
    add_resampling,
)

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the commands."""
    trust = commands.add_parser(
        "trust",
        help="what a model invents, and what sways it: hallucination and robustness",
        description="Ask about what pictures do not show, and ask again of the pictures changed,"
        " in other words and with options in other orders: what a model invents, and what sways"
        " it, beside answers that need no picture. Prints the tables.",
    )
    pictures = trust.add_argument_group("the pictures")
    pictures.add_argument(
        "--data",
        default=str(VOTES),
        help="as for evaluate, by the classes of Galaxy10 (default: %(default)s)",
    )
    pictures.add_argument("--vocabulary", metavar="NAME", help="galaxy10 or own, as for evaluate")
    add_pictures(pictures, usual="val")
    trust.add_argument(
        "--fewer-bits",
        action="store_true",
        help="instead, compare the labels of a GGUF pair in f16, Q8_0, Q4_K_M and Q4_0",
    )
    trust.set_defaults(work=_trust)
    questions = commands.add_parser(
        "questions",
        help="multiple-choice questions of a published benchmark",
        description="Ask multiple-choice questions, with their options in every order, and score"
        " the answers beside blind ones. Prints the tables.",
    )
    questions.add_argument(
        "file", type=Path, help=".json, .jsonl, .tsv, .csv or .parquet, pictures beside it"
    )
    questions.set_defaults(work=_questions)
    retention = commands.add_parser(
        "retention",
        help="what a model still knows after training: the same questions twice",
        description="Ask a model before and after training the same questions, and tell what it"
        " lost and gained. Prints the tables.",
    )
    retention.add_argument("file", type=Path, help="questions of a general set, as for questions")
    retention.add_argument("before", help="the model before training, as for evaluate")
    retention.add_argument(
        "after", nargs="+", help="the model after it; more than one for an ablation"
    )
    retention.set_defaults(work=_retention)
    for command in (trust, questions, retention):
        if command is not retention:
            command.add_argument(
                "model", nargs="?", default="embedded", help="as for evaluate (default: embedded)"
            )
        add_resampling(command)
        add_device(command.add_argument_group("of a checkpoint, which torch computes"))
        command.add_argument(
            "-o",
            "--out",
            type=Path,
            metavar="DIR",
            help="write tables and answers here; the same command goes on where it was stopped"
            " (default: nothing is kept)",
        )


def _open(name: str, given: argparse.Namespace) -> Any:
    from astrollava_training.evaluate import open_model

    return open_model(name, device=given.device)


def _write(out: Path | None, name: str, found: Any, text: str) -> None:
    from astrollava_training.evaluate.report import plain

    print(text)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    data = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    (out / f"{name}.json").write_text(data + "\n", encoding="utf-8")


def _trust(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate import open_data
    from astrollava_training.evaluate import trust as room
    from astrollava_training.evaluate.journal import Journal
    from astrollava_training.evaluate.notes import notes_of, notes_of_unread
    from astrollava_training.evaluate.trust_report import bits_markdown, trust_markdown

    data = open_data(given.data, vocabulary=given.vocabulary)
    split = given.split or data.usual_split("val")
    sample = room.Sample(data, split, given.limit, given.resamples, given.seed)
    items = sample.items()
    tell_split(given.split, split, data, len(items))
    tell_notes(notes_of(data, split, items))

    def journal(name: str, model: Any) -> Journal:
        path = None if given.out is None else given.out / f"{name}.jsonl"
        return Journal(path, room.header(model, sample))

    if given.fewer_bits:
        bits = room.fewer_bits(given.model, sample, lambda k, m: journal(f"answers-{k}", m))
        tell_notes(notes_of_unread(bits["about"]["unread"]))
        _write(given.out, "fewer-bits", bits, bits_markdown(bits))
        return
    with _open(given.model, given) as model, closing(journal("answers", model)) as kept:
        found = room.trust(model, sample, kept)
    tell_notes(notes_of_unread(found["about"]["unread"]))
    _write(given.out, "trust", found, trust_markdown(found))


def _ask(name: str, given: argparse.Namespace, questions: Any, kept: str, **options: Any) -> Any:
    """Return what a model chooses, its answers kept in a file of that name."""
    from hashlib import sha256

    from astrollava_training.evaluate.benchmarks import ask_questions
    from astrollava_training.evaluate.journal import Journal

    with _open(name, given) as model:
        path = None if given.out is None else given.out / f"{kept}.jsonl"
        digest = sha256(given.file.read_bytes()).hexdigest()
        with closing(Journal(path, {"model": model.facts(), "questions": digest})) as journal:
            return ask_questions(model, questions, journal, **options)


def _questions(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate.benchmarks import question_report, read_questions
    from astrollava_training.evaluate.trust_report import questions_markdown

    questions = read_questions(given.file)
    chosen = _ask(given.model, given, questions, "answers")
    if given.out is not None:
        with (given.out / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("id", "chosen", "answer"))
            for question, place in zip(questions, chosen.orders[:, 0], strict=True):
                right = "" if question.answer is None else chr(65 + question.answer)
                writer.writerow((question.id, chr(65 + place), right))
    found = question_report(questions, chosen, resamples=given.resamples, seed=given.seed)
    _write(given.out, "questions", found, questions_markdown(found))


def _retention(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate.benchmarks import (
        question_report,
        read_questions,
        retention,
    )
    from astrollava_training.evaluate.markdown import table

    questions = read_questions(given.file)
    common = {"resamples": given.resamples, "seed": given.seed}
    before = _ask(given.before, given, questions, "answers-before", every_order=False)
    rows, chosen = {}, before
    for number, name in enumerate(given.after, 1):
        chosen = _ask(name, given, questions, f"answers-after-{number}", every_order=False)
        rows[name] = retention(questions, before, chosen, **common)
    blind = question_report(questions, before, **common)["rows"]
    blind = {name: row for name, row in blind.items() if name not in ("any order", "margin")}
    text = "\n\n".join(
        [
            f"# What is kept of {given.before}",
            table(rows),
            "`kept` is the share of what was right before that still is; `p` is McNemar's, exact.",
            "## Beside blind answers",
            table({given.before: blind.pop("model"), **blind}),
        ]
    )
    _write(given.out, "retention", {"rows": rows, "blind": blind}, text + "\n")
