"""The model: its files, their hashes, and whether it sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from astrollava.doctor.check import Check
from astrollava.doctor.probe import run_probe

if TYPE_CHECKING:
    from astrollava.models import ModelFiles

__all__ = ["check_files", "check_hashes", "check_header", "check_sight"]

_REINSTALL = "pip install --force-reinstall --no-deps astrollava"


def check_files(files: ModelFiles) -> Check:
    """Tell where the files of the model are and how large."""
    sizes = [f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in _paths(files)]
    return Check("model files", "ok", ", ".join(sizes))


def check_header(files: ModelFiles) -> Check:
    """Check that both files are sound and belong together."""
    from astrollava import models

    facts = models.facts(files)
    detail = (
        f"{facts.architecture} {facts.quantization}, {facts.projector} projector, "
        f"{facts.image_tokens} tokens an image, context {facts.n_ctx_train}"
    )
    return Check("model header", "ok", detail)


def check_hashes(files: ModelFiles) -> Check:
    """Check the files against the list of hashes beside them."""
    from astrollava.models import store

    listed = files.text.parent / "SHA256SUMS"
    if not listed.is_file():
        if files.name == "embedded":
            return Check("model hashes", "problem", "SHA256SUMS is missing", _REINSTALL)
        return Check("model hashes", "ok", "not known for a model of yours")
    expected = dict(_read_sums(listed))
    wrong = [path.name for path in _paths(files) if store.sha256(path) != expected.get(path.name)]
    if wrong:
        return Check(
            "model hashes", "problem", f"not what was published: {', '.join(wrong)}", _REINSTALL
        )
    return Check("model hashes", "ok", "as published")


def check_sight(model: str, mmproj: Path | None) -> Iterator[Check]:
    """Check that the model's answers depend on the picture."""
    found = run_probe("sight", model, *([str(mmproj)] if mmproj is not None else []))
    for name, passed, detail in found["lines"]:
        if passed:
            yield Check("self-check", "ok", f"{name}: {detail}")
        else:
            advice = "Do not trust what this model says; install it again or use another"
            yield Check("self-check", "problem", f"{name}: {detail}", advice)


def _paths(files: ModelFiles) -> tuple[Path, Path]:
    return files.text, files.mmproj


def _read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(name, hash)`` from lines as sha256sum writes them."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            digest, name = line.split(maxsplit=1)
            yield name.strip().removeprefix("*"), digest.lower()
