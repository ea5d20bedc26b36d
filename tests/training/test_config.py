"""Recipes: a misspelt key that is ignored costs a night of training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from astrollava_training.config import (
    ENCODED_AT_ONCE,
    Drawn,
    Export,
    Language,
    Recipe,
    RecipeError,
    Stage,
    Vision,
    load_recipe,
)

RECIPES = Path(__file__).parents[2] / "training" / "astrollava_training" / "recipes"


GUIDE = Path(__file__).parents[2] / "docs" / "training-embedded.md"


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_recipe_in_the_guide_loads(tmp_path: Path) -> None:
    shown = GUIDE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    assert load_recipe(recipe(tmp_path, shown)).image_tokens == 196


def test_the_guide_tells_the_numbers_of_the_embedded_recipe() -> None:
    """Its table of stages would otherwise be of some recipe of the past."""
    told, found = GUIDE.read_text(encoding="utf-8"), load_recipe(RECIPES / "embedded.toml")
    for name in ("teacher", "tower", "words", "align", "instruct"):
        (row,) = [line for line in told.splitlines() if line.startswith(f"| `{name}` ")]
        assert row.endswith(f" {getattr(found, name).pictures:,} |"), row
    for drawn in (found.pool, found.encoded):
        assert f"{drawn.pictures:,} pictures drawn" in told
        assert f" {drawn.count:,} |" in told


def test_all_that_a_file_says_is_in_the_recipe(tmp_path: Path) -> None:
    text = """
        name = "small"
        seed = 7
        [encoded]
        pictures = 70
        real = 1
        [vision]
        image_size = 32
        patch_size = 8
        [words]
        pictures = 100
        learning_rate = 1
        [export]
        render_background = [122, 116, 104]
    """
    found = load_recipe(recipe(tmp_path, text))
    assert found == Recipe(
        name="small",
        seed=7,
        encoded=Drawn(70, real=1.0),
        vision=Vision(image_size=32, patch_size=8),
        words=Stage(pictures=100, learning_rate=1.0),
        export=Export(render_background=(122, 116, 104)),
    )
    assert type(found.words.learning_rate) is float
    assert found.image_tokens == 16
    assert found.words.steps == 3
    assert found.encoded.count == 2 * ENCODED_AT_ONCE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nsede = 1', "unknown key 'sede'.*Did you mean 'seed'"),
        ('name = "x"\n[tower]\npictures = 64\nlearning_rat = 1e-3', "tower.*'learning_rate'"),
        ('name = "x"\nzzz = 1', "'zzz'. Expected one of name, seed, vision"),
        ("seed = 1", "'name' is missing"),
        ('name = "x"\n[words]\nbatch_size = 8', "words: the key 'pictures' is missing"),
        ("name = 3", "name is 3. Expected a value of type str"),
        ('name = "x"\nseed = "1"', "seed is '1'. Expected a value of type int"),
        ('name = "x"\nseed = 1.5', "Expected a value of type int"),
        ('name = "x"\nseed = true', "seed is True"),
        ('name = "x"\nvision = 120', "vision is 120. Expected a table"),
        ('name = "x"\n[export]\nrender_background = "black"', "Expected a list"),
        (
            'name = "x"\n[export]\nrender_background = [0, 0, 0.5]',
            r"\[2\] is 0.5.*type int",
        ),
        ("name = ", "no TOML"),
        ('name = "\udcff"', "no TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[vision]\nimage_size = 100", "image_size 100 and vision.patch_size 16"),
        ("[vision]\nheads = 5", "vision.heads 5"),
        ("[language]\nheads = 64\nhidden_size = 192", "even parts"),
        ("[language]\nlayers = 0", "language.layers is 0"),
        ("[language]\nvocab_size = 200", "vocab_size is 200"),
        ("[vision]\nhidden_size = 18", "vision.hidden_size is 18"),
        ("[language]\ncontext_length = 64", "64 tokens of a context of 64"),
        ("[align]\npictures = 8", "8 pictures in batches of 32"),
        ("[align]\npictures = 8\nbatch_size = 0", "batches of 0"),
        ("[align]\npictures = 64\nlearning_rate = 0.0", "learning rate 0"),
        ("[align]\npictures = 64\nlearning_rate = nan", "learning rate nan"),
        ("[align]\npictures = 64\nweight_decay = -1.0", "decay -1"),
        ("[align]\npictures = 64\nwarmup = 1.0", "warmup is 1"),
        ("[pool]\npictures = 64\nreal = 1.5", "real pictures is 1.5"),
        ("[encoded]\npictures = 31", "drawn are 31"),
        ('[export]\nquantize = "q9"', "'q9'"),
        ('[export]\nmmproj_quantize = "int8"', "'int8'"),
        ('[export]\nrender_rule = "squeeze"', "'squeeze'"),
        ("[export]\nrender_background = [0, 0]", "red, green and blue"),
        ("[export]\nrender_background = [0, 0, 256]", "256"),
    ],
)
def test_contradictions_stop_before_anything_is_trained(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(recipe(tmp_path, f'name = "x"\n{text}'))


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "none.toml")


def test_stages_draw_from_different_seeds() -> None:
    """Equal seeds would encode the very pictures the tower was trained on, in the same order."""
    seeds = [Recipe("x", seed=5).seed_of(s) for s in ("tower", "encode", "words", "align")]
    assert seeds == [5, 6, 7, 8]
    assert Recipe("x", seed=5).seed_of("instruct") == 9


def test_a_recipe_cannot_be_changed_under_a_run() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Language().layers = 2  # type: ignore[misc]
