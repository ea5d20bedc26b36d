"""Publishing: what reaches the package is proven, calibrated and described first."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tiny_recipe import TINY, write_recipe

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

from astrollava import Describer
from astrollava.errors import ModelError
from astrollava.models import gguf
from astrollava_training import publish as publishing
from astrollava_training.cli import main
from astrollava_training.config import Export
from astrollava_training.data.language import TAUGHT
from astrollava_training.publish import publish

RECIPE = dataclasses.replace(TINY, export=Export(name="tiny-v0", render_background=(9, 8, 7)))


@pytest.fixture(scope="module")
def published(
    tiny_run: tuple[Path, Any, Any], tiny_votes: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    _, model, tokenizer = tiny_run
    out = tmp_path_factory.mktemp("published")
    return out, publish(model, tokenizer, RECIPE, tiny_votes, out, proved_on=2, resamples=20)


def test_the_folder_holds_the_pair_its_sums_its_card_and_its_figures(
    published: tuple[Path, dict[str, Any]],
) -> None:
    folder, figures = published
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS",
        "card.md",
        "figures.json",
        "tiny-v0-mmproj.gguf",
        "tiny-v0-text.gguf",
    ]
    for line in (folder / "SHA256SUMS").read_text("ascii").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert json.loads((folder / "figures.json").read_text("utf-8")) == json.loads(
        json.dumps(figures)
    )


def test_the_files_carry_the_calibration_and_the_rendering(
    published: tuple[Path, dict[str, Any]],
) -> None:
    """Without them a user would get probabilities and pictures that nobody validated."""
    folder, figures = published
    text = gguf.read_header(folder / "tiny-v0-text.gguf").metadata
    mmproj = gguf.read_header(folder / "tiny-v0-mmproj.gguf").metadata
    fitted = figures["calibration"]
    assert text["astrollava.labels.temperature"] == pytest.approx(fitted["temperature"])
    assert text["astrollava.labels.threshold"] == pytest.approx(fitted["threshold"])
    assert text["astrollava.questions"] == "\n".join(TAUGHT)
    assert list(mmproj["astrollava.render.background"]) == [9, 8, 7]
    assert figures["parity_f16"]["cosine_min"] > publishing.LEAST_COSINE
    assert figures["parity_f16"]["images"] == 2


def test_the_pair_describes(published: tuple[Path, dict[str, Any]], shared_data: Path) -> None:
    folder, _ = published
    with Describer(folder / "tiny-v0-text.gguf", mmproj=folder / "tiny-v0-mmproj.gguf") as opened:
        source = shared_data / "fits" / "decals_a.fits"
        found = opened.classify(source)
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_the_card_says_what_the_recipe_and_the_figures_say(
    published: tuple[Path, dict[str, Any]],
) -> None:
    folder, figures = published
    card = (folder / "card.md").read_text("utf-8")
    assert card.startswith("# tiny-v0\n")
    assert "32×32 pixels in 8-pixel patches (16 tokens)" in card
    assert "The training split (8 pictures)" in card
    assert f"(temperature\n  {figures['calibration']['temperature']:.2f})" in card
    assert f"calibrated on {figures['calibration']['labelled']} SDSS galaxies" in card
    written, _, measured = card.partition("## How good it is")
    assert all(len(line) <= 100 for line in written.splitlines())
    assert "{" not in written
    # The report's own headings lie below the card's.
    assert "\n## " not in measured
    assert "\n### " in measured


def test_a_pair_that_is_not_the_model_reaches_nobody(
    tiny_run: tuple[Path, Any, Any],
    tiny_votes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, model, tokenizer = tiny_run
    monkeypatch.setattr(publishing, "LEAST_COSINE", 1.01)
    with pytest.raises(ModelError, match="the exported pair is not the model"):
        publish(model, tokenizer, RECIPE, tiny_votes, tmp_path / "out", proved_on=1)
    assert not (tmp_path / "out").exists()


def test_a_pair_that_says_something_else_reaches_nobody(
    tiny_run: tuple[Path, Any, Any],
    tiny_votes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal embeddings prove nothing about the language model: here its head was turned over."""
    _, model, tokenizer = tiny_run
    real = publishing.export

    def spoilt(given: Any, *arguments: Any, **options: Any) -> Any:
        other = copy.deepcopy(given)
        other.lm_head.weight.data.neg_()
        return real(other, *arguments, **options)

    monkeypatch.setattr(publishing, "export", spoilt)
    # A model this little trained is never sure of its words: no lead is small enough to excuse.
    monkeypatch.setattr(publishing, "LARGEST_TIE", 0.0)
    with pytest.raises(ModelError, match="same greedy text 0%"):
        publish(model, tokenizer, RECIPE, tiny_votes, tmp_path / "out", proved_on=1)
    assert not (tmp_path / "out").exists()


def test_the_command_line_wants_a_finished_run(
    tiny_votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml", RECIPE)
    arguments = ["publish", str(recipe), str(tmp_path / "none"), "--data", str(tiny_votes)]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
