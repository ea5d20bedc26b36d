"""The task for lmms-eval, held to its schema and run as it runs a task."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate import benchmarks

yaml = pytest.importorskip("yaml")

FOLDER = Path(benchmarks.__file__).parent / "lmms_eval"

# The fields of TaskConfig in lmms-eval 0.7.3 (lmms_eval/api/task.py); others end in a TypeError.
FIELDS = {
    "task", "task_alias", "tag", "group", "group_alias", "dataset_path", "dataset_name",
    "dataset_kwargs", "training_split", "validation_split", "test_split", "fewshot_split",
    "full_docs", "process_results_use_image", "process_docs", "doc_to_visual", "doc_to_text",
    "doc_to_target", "doc_to_choice", "doc_to_messages", "process_results", "use_prompt",
    "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot",
    "metric_list", "output_type", "generation_kwargs", "repeats", "filter_list",
    "should_decontaminate", "doc_to_decontamination_query", "cluster_key", "score_key",
    "auto_strip_thinking", "metadata", "lmms_eval_specific_kwargs",
    "model_specific_generation_kwargs",
    "model_specific_target_kwargs", "reasoning_tags",
}  # fmt: skip


def load() -> dict[str, Any]:
    """Load the task as lmms-eval does: ``!function`` names a function of a file beside it."""

    class Loader(yaml.FullLoader):
        pass

    def function(loader: Any, node: Any) -> Any:
        module, name = loader.construct_scalar(node).rsplit(".", 1)
        spec = importlib.util.spec_from_file_location(module, FOLDER / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return getattr(loaded, name)

    Loader.add_constructor("!function", function)
    return yaml.load((FOLDER / "galaxy10_decals.yaml").read_text("utf-8"), Loader)


TASK = load()
UTILS = inspect.unwrap(TASK["doc_to_text"])
SAYS = UTILS.__globals__


def test_every_key_is_one_of_the_schema() -> None:
    assert set(TASK) <= FIELDS
    assert TASK["output_type"] == "generate_until"
    assert TASK["test_split"] == "test"
    for metric in TASK["metric_list"]:
        assert set(metric) == {"metric", "aggregation", "higher_is_better"}
        assert callable(metric["aggregation"])
    assert all("version" in entry for entry in TASK["metadata"])
    assert set(TASK["lmms_eval_specific_kwargs"]["default"]) == {"pre_prompt", "post_prompt"}


def test_the_schema_here_is_that_of_lmms_eval() -> None:
    """Where it is installed: a release that renames a field must be noticed."""
    task = pytest.importorskip("lmms_eval.api.task")
    assert set(TASK) <= {field.name for field in task.dataclasses.fields(task.TaskConfig)}


def test_the_classes_are_ours_in_their_order() -> None:
    assert SAYS["CLASSES"] == GALAXY10.labels


def document(label: int) -> dict[str, Any]:
    return {"image": Image.fromarray(np.zeros((4, 4), np.uint8)), "label": label}


def test_a_run_as_lmms_eval_makes_it() -> None:
    """Prompt, picture, answer, results by metric, aggregation; scores by scikit-learn."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = [*range(10), *(int(v) for v in rng.integers(10, size=60))]
    named = [label if rng.random() < 0.6 else int(rng.integers(9)) for label in labels]
    gathered: dict[str, list[Any]] = {}
    for label, name in zip(labels, named, strict=True):
        doc = document(label)
        (picture,) = TASK["doc_to_visual"](doc)
        assert picture.mode == "RGB"
        prompt = TASK["doc_to_text"](doc, TASK["lmms_eval_specific_kwargs"]["default"])
        assert prompt.splitlines()[1 + label][3:] == GALAXY10.labels[label]
        assert prompt.splitlines()[1 + label][0] == TASK["doc_to_target"](doc)
        assert prompt.endswith("directly.")
        for metric, value in TASK["process_results"](doc, ["ABCDEFGHIJ"[name]]).items():
            gathered.setdefault(metric, []).append(value)
    found = {m["metric"]: m["aggregation"](gathered[m["metric"]]) for m in TASK["metric_list"]}
    assert set(found) == set(gathered)
    assert found["galaxy10_accuracy"] == pytest.approx(metrics.accuracy_score(labels, named))
    balanced = metrics.balanced_accuracy_score(labels, named)
    assert found["galaxy10_balanced_accuracy"] == pytest.approx(balanced)
    f1 = metrics.f1_score(labels, named, average="macro")
    assert found["galaxy10_macro_f1"] == pytest.approx(f1)
    assert found["galaxy10_constant"] == max(labels.count(i) for i in range(10)) / len(labels)
    assert found["galaxy10_unanswered"] == 0.0


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("C", 2),
        ("C.", 2),
        ("(F) Barred Spiral Galaxies", 5),
        ("J: because", 9),
        (" The answer is D.", 3),
        ("Option B", 1),
        ("My answer: A galaxy that is round", -1),
        ("This is a barred spiral galaxy.", 5),
        ("An in-between round smooth galaxy", 3),
        ("A round smooth galaxy.", 2),
        ("An edge-on galaxy with bulge", 9),
        ("A galaxy.", -1),
        ("I think it is a galaxy.", -1),
        ("Merging galaxies or disturbed galaxies", -1),
        ("", -1),
    ],
)
def test_an_answer_is_read(answer: str, named: int) -> None:
    assert SAYS["galaxy10_read"](answer) == named
