"""Recipes of all kinds: what a file or ``--set`` says wrongly must not cost a night of training."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from astrollava_training.config import Recipe
from astrollava_training.contrastive.recipe import TowerRecipe
from astrollava_training.kinds import KINDS, load_any
from astrollava_training.recipe import Data, LlavaRecipe, Lora, Model, Stage, Train
from astrollava_training.tables import RecipeError, set_values

RECIPES = Path(__file__).parents[2] / "training" / "astrollava_training" / "recipes"

TEXT = """
    kind = "two-stage"
    name = "x"
    [model]
    tower = "t"
    language = "l"
    [stage1]
    data = ["a.json"]
    template = "plain"
    trains = ["projector"]
    lr = 1e-3
    batch = 8
    [stage2]
    data = ["b.json"]
    template = "v1"
    trains = ["projector", "language"]
    lr = 2e-5
    batch = 8
"""


def written(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_in_the_package_loads(path: Path) -> None:
    found = load_any(path)
    assert found.name == path.stem
    raw = tomllib.loads(path.read_text("utf-8"))
    assert type(found) is KINDS[raw.get("kind", "scratch")]
    if path.stem != "embedded":
        said = path.read_text("utf-8")
        assert "# Needs " in said
        assert "# Costs " in said


def test_the_recipes_that_the_issue_names_are_there() -> None:
    names = {"astrollava-7b", "astrollava-7b-lora", "astrollava-small", "embedded"}
    names |= {"ablation-no-stage-1", "encoder-swap", "tower"}
    assert {path.stem for path in RECIPES.glob("*.toml")} == names


GUIDE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_guide_names_every_key_and_its_recipe_loads(tmp_path: Path) -> None:
    """A key that nobody can look up is an option that nobody uses."""
    told = GUIDE.read_text("utf-8")
    kinds = {
        "stage": Stage, "model": Model, "data": Data, "train": Train, "lora": Lora,
        "": LlavaRecipe,
    }  # fmt: skip
    for table, kind in kinds.items():
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in told, f"{table}.{field.name}"
    shown = told.split("```toml\n")[1].split("```")[0]
    found = load_any(written(tmp_path, shown))
    assert isinstance(found, LlavaRecipe)
    assert found.stage2 is not None
    assert found.stage2.lora == Lora(rank=64, alpha=128.0)
    for path in RECIPES.glob("*.toml"):
        assert f"| `{path.stem}` |" in told


def test_a_kind_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    """What is from scratch was so without saying it; of a tower's keys two are everybody's."""
    assert isinstance(load_any(written(tmp_path, 'name = "x"\nseed = 3')), Recipe)
    assert isinstance(load_any(written(tmp_path, 'kind = "scratch"\nname = "x"')), Recipe)
    text = 'name = "x"\nstart = "s"\n[data]\nfiles = ["a.json"]\n[train]\nlr = 1e-4'
    with pytest.raises(RecipeError, match=r"of the kind 'tower'\. Expected kind = .tower"):
        load_any(written(tmp_path, text))


def load(name: str) -> LlavaRecipe:
    found = load_any(RECIPES / f"{name}.toml")
    assert isinstance(found, LlavaRecipe)
    return found


def test_astrollava_7b_has_the_values_of_the_paper() -> None:
    """LLaVA-1.5's two stages, as arXiv:2504.08583 used them."""
    found = load("astrollava-7b")
    assert (found.model.tower, found.model.feature_layer) == (
        "openai/clip-vit-large-patch14-336", -2,
    )  # fmt: skip
    assert (found.data.length, found.data.render, found.train.dtype) == (2048, "pad", "bf16")
    first, second = found.stage1, found.stage2
    assert first is not None
    assert second is not None
    assert (first.template, first.trains, first.lr, first.batch) == (
        "plain", ("projector",), 1e-3, 256,
    )  # fmt: skip
    assert (second.template, second.trains, second.lr, second.batch) == (
        "v1", ("projector", "language"), 2e-5, 128,
    )  # fmt: skip
    for stage in (first, second):
        assert (stage.epochs, stage.warmup, stage.weight_decay) == (1.0, 0.03, 0.0)


def test_ablation_and_lora_differ_from_the_paper_in_nothing_else() -> None:
    """What is compared with them would answer another question."""
    paper = load("astrollava-7b")
    ablation = load("ablation-no-stage-1")
    assert dataclasses.replace(paper, name=ablation.name, stage1=None) == ablation
    lora = load("astrollava-7b-lora")
    assert paper.stage2 is not None
    adapted = dataclasses.replace(paper.stage2, lr=2e-4, lora=Lora())
    assert dataclasses.replace(paper, name=lora.name, stage2=adapted) == lora
    swap = load("encoder-swap")
    assert dataclasses.replace(paper, name=swap.name, model=swap.model) == swap


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "two-stage"', 'kind = "two-stages"', "kind is 'two-stages'.*mean 'two-stage'"),
        ('kind = "two-stage"', "", "no kind, and its keys are those of the kind 'two-stage'"),
        ("[stage1]", "[train]\nlr = 1\n[stage1]", "train: unknown key 'lr'.* a key of stage1 and"),
        ("[stage1]", "[train]\nlearnig_rate = 1\n[stage1]", "train: unknown.*Did you mean 'lr'"),
        ("[stage1]", "[stagel]", "unknown key 'stagel'.*Did you mean 'stage1' or 'stage2'"),
        ('name = "x"', 'name = "x"\nlr = 1', "'lr'.*Did you mean 'stage1.lr' or 'stage2.lr'"),
        ('tower = "t"', 'towr = "t"', "model: unknown key 'towr'.*Did you mean 'tower'"),
        ('tower = "t"', "", "no beginning. Expected model.start, or model.tower and model.lang"),
        ('tower = "t"', 'tower = "t"\nstart = "s"', "model.start 's' and model.language 'l'"),
        ('"plain"', '"plan"', "stage1: template is 'plan'.*Did you mean 'plain'"),
        ('["projector"]', '["proyector"]', r"trains\[0\] is 'proyector'.*mean 'projector'"),
        ('["projector"]', "[]", r"stage1: a stage trains \[\]"),
        ('["projector"]', '["projector", "projector"]', "each once"),
        ('["projector"]', '["tower"]\nlora = {}', "stage1: a stage with LoRA trains"),
        ('["projector", "language"]', '["language"]\nlora = 3', "lora is 3. Expected a table"),
        ("batch = 8", "batch = 0", "batch is 0"),
        ("lr = 1e-3", 'lr = "1e-3"', "stage1: lr is '1e-3'. Expected a value of type float"),
        ('data = ["a.json"]', 'data = "a.json"', "data is 'a.json'. Expected a list"),
        ('data = ["a.json"]', "data = []", "a stage without data"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(RecipeError, match=f"(?s){said}") as caught:
        load_any(path)
    assert str(path) in str(caught.value)


def test_what_may_stand_in_train_is_listed_and_nothing_else(tmp_path: Path) -> None:
    """What only ``--set`` takes was offered for the file, with the table's own name as a key."""
    keys = ", ".join(field.name for field in dataclasses.fields(Train))
    for line in ("compil = true", "lr = 1.0", "train = 1", "epoch = 1"):
        path = written(tmp_path, f"{TEXT}\n[train]\n{line}\n")
        with pytest.raises(RecipeError) as caught:
            load_any(path)
        assert caught.value.expected == f"one of {keys}"
    assert caught.value.hint == "Did you mean 'epochs'? That is a key of stage1 and of stage2"
    with pytest.raises(RecipeError) as caught:
        load_any(written(tmp_path), ["train.train=1"])
    of_stages = ", ".join(field.name for field in dataclasses.fields(Stage))
    assert caught.value.expected == (f"after train., one of {keys}; or, of the stages, {of_stages}")


@pytest.mark.parametrize("recipe", ["astrollava-7b", "tower", "embedded"])
@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../evil", "a/b", "/tmp/evil", "a\\b", "C:x", "a\0b", "a\nb", " a", "a."),
        *("-a", "a" * 201),
    ],
)  # fmt: skip
def test_a_name_is_that_of_a_folder(tmp_path: Path, recipe: str, name: str) -> None:
    """``--set name=../evil`` wrote outside of ``runs``, an empty one into ``runs`` itself."""
    quoted = json.dumps(name)
    with pytest.raises(RecipeError, match=r"name is .* Expected the plain name of a folder"):
        load_any(recipe, [f"name={quoted}"])
    if recipe == "embedded":
        with pytest.raises(RecipeError, match=r"export\.name is .* Expected the plain name"):
            load_any(recipe, [f"export.name={quoted}"])
    assert load_any(recipe, ["name='my run, 2.1 (größer)'"]).name == "my run, 2.1 (größer)"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["stage1.trains=['language']", "stage2.trains=['language']"], "no stage trains it"),
        (["stage1.trains=['language','projector']", "stage1.lora.rank=4"], "LoRA in stage2"),
        (["train.rows=0"], "rows is 0"),
        (["train.compile=1"], "train: compile is 1. Expected a value of type bool"),
        (["data.corrupt=1.5"], "data.corrupt is 1.5"),
        (["train.lrr=1e-3"], "unknown key 'lrr'"),
        # Other trainers' name of it, misspelt: no letters of `lr` are near it.
        (["train.learnig_rate=1e-3"], "unknown key 'learnig_rate'.*Did you mean 'lr'"),
        (["stage1.batch_size=4"], "stage1: unknown key 'batch_size'.*Did you mean 'batch'"),
        (["kinds=tower"], "unknown key 'kinds'. Expected one of kind, name.*Did you mean 'kind'"),
        (["train.epoch=2"], "unknown key 'epoch'.*stages, data, .*Did you mean 'epochs'"),
        (["lr=1e-3"], "unknown key 'lr'.*Did you mean 'stage1.lr' or 'stage2.lr'"),
        (["stagel.lr=1e-3"], "unknown key 'stagel'.*Did you mean 'stage1' or 'stage2'"),
        (["nonsense"], "--set 'nonsense'"),
        (["name.x=1"], "'name' is no table"),
        (["=1"], "--set '=1'"),
    ],
)
def test_what_set_contradicts_is_named(tmp_path: Path, extra: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_any(written(tmp_path), extra)


def test_train_reaches_the_stages_that_are_run(tmp_path: Path) -> None:
    """``--stage 2 --set train.lr=…`` must not change stage 1, nor be lost."""
    path = written(tmp_path)
    both = load_any(path, ["train.lr=3e-4", "train.rows=2", "model.tower=a/b"])
    assert isinstance(both, LlavaRecipe)
    assert [stage.lr for stage in both.stages.values()] == [3e-4, 3e-4]
    assert (both.train.rows, both.model.tower) == (2, "a/b")
    second = load_any(path, ["train.lr=3e-4"], stages=(2,))
    assert isinstance(second, LlavaRecipe)
    assert [stage.lr for stage in second.stages.values()] == [1e-3, 3e-4]


def test_set_reaches_the_other_kinds() -> None:
    scratch = load_any(RECIPES / "embedded.toml", ["vision.layers=3", "name=three"])
    assert isinstance(scratch, Recipe)
    assert (scratch.vision.layers, scratch.name) == (3, "three")
    tower = load_any(RECIPES / "tower.toml", ["train.lr=1e-4", "data.files=['x.json']"])
    assert isinstance(tower, TowerRecipe)
    assert (tower.train.lr, tower.data.files) == (1e-4, ("x.json",))


@pytest.mark.parametrize("change", ["data.held_out=1", "train.batch=1", "train.warmup=1.0"])
def test_a_tower_that_could_not_learn_is_refused(change: str) -> None:
    with pytest.raises(RecipeError):
        load_any(RECIPES / "tower.toml", [change])


_KEYS = st.text("abcdefghij_", min_size=1, max_size=6)
_VALUES = st.one_of(
    st.integers(-(10**9), 10**9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)


@given(table=_KEYS, key=_KEYS, value=_VALUES, before=st.dictionaries(_KEYS, _VALUES))
def test_what_is_set_is_what_toml_would_read(
    table: str, key: str, value: Any, before: dict[str, Any]
) -> None:
    """A value that arrives as a text would be a type error, or silently another value."""
    raw = {table: dict(before)}
    said = str(value).lower() if isinstance(value, bool) else repr(value)
    changed = set_values(raw, [f"{table}.{key} = {said}"])
    assert changed[table][key] == value
    assert type(changed[table][key]) is type(value)
    assert raw == {table: before}
    assert {k: v for k, v in changed[table].items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }


@given(st.text(max_size=30))
def test_any_text_after_set_is_taken_or_refused(text: str) -> None:
    with contextlib.suppress(RecipeError):
        set_values({"a": {"b": 1}}, [text])
