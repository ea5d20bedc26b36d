"""What a checkpoint's user is told: in the words of its files, and before gigabytes are written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.convert import convert
from astrollava.errors import InvalidCheckpoint, ModelNotFound
from astrollava.models import resolve
from astrollava.models.checkpoint import open_checkpoint, stored_name
from astrollava.models.checkpoint._names import canonical
from plain_checkpoint import PlainLlava

PLAIN = PlainLlava()
GOOD = (
    "{% for m in messages %}{{ m['role'] }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ m }", "does not compile"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "cannot be used"),
        ("USER: hello", "does not write the image"),
    ],
)
def test_a_template_that_cannot_work_is_refused(tmp_path: Path, template: str, reason: str) -> None:
    """It was found when the model was first asked, after gigabytes had been converted."""
    folder = PLAIN.save(tmp_path / "ck")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(InvalidCheckpoint, match=f"chat template.*{reason}"):
        convert(folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["ck"]


def test_what_is_assumed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong template or rule makes answers a little worse, which nobody notices."""
    folder = PLAIN.save(tmp_path / "ck")
    with caplog.at_level(logging.WARNING, "astrollava"):
        convert(folder, tmp_path / "a")
        assert "LLaVA's v1 is assumed" in caplog.text
        assert "rule pad on (122, 116, 104), which is assumed" in caplog.text
        caplog.clear()
        (folder / "chat_template.jinja").write_text(GOOD)
        (folder / "preprocessor_config.json").write_text('{"do_center_crop": true}')
        convert(folder, tmp_path / "b")
        assert caplog.text == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_token_index": 99999}, "image_token_index is 99999"),
        ({"image_token_index": PLAIN.vocabulary}, "image_token_index"),
        (
            {"text_config": {**PLAIN.config()["text_config"], "vocab_size": 10**12}},
            "vocab_size is 1000000000000",
        ),
    ],
)
def test_tokens_without_a_row_are_refused(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidCheckpoint, match=named):
        open_checkpoint(PLAIN.save(tmp_path / "ck", config=changes))


@pytest.mark.parametrize("layout", ["{}", "model.{}"])
def test_missing_weights_are_named_as_the_files_would(layout: str) -> None:
    """Nobody finds "language.layers.0" in a checkpoint's index."""
    new = layout == "model.{}"
    names = [layout.format(name) for name in PLAIN.shapes()]
    if new:  # As transformers 5 saves them.
        names = [
            name.replace("language_model.model.", "language_model.").replace(
                "model.language_model.lm_head", "lm_head"
            )
            for name in names
        ]
    present = {canonical(name) or "": name for name in names}
    for ours, name in present.items():
        others = {k: v for k, v in present.items() if k != ours}
        assert stored_name(ours, others) == name


def test_a_wrong_shape_is_told_in_the_files_words(tmp_path: Path) -> None:
    wrong = "language_model.model.norm.weight"
    folder = PLAIN.save(tmp_path / "ck", changed={wrong: np.zeros(3, np.float32)})
    with pytest.raises(InvalidCheckpoint, match=f"the weight {wrong} has the shape"):
        convert(folder, tmp_path / "out")


def test_a_file_is_not_called_missing(tmp_path: Path) -> None:
    path = PLAIN.save(tmp_path / "ck") / "model.safetensors"
    with pytest.raises(ModelNotFound, match="is a file"):
        open_checkpoint(path)
    with pytest.raises(ModelNotFound, match="is a file"):
        open_checkpoint(path, base=path)


def test_tensors_one_level_down_are_told_of(tmp_path: Path) -> None:
    """They were skipped, and the checkpoint then lacked its first weight."""
    torch = pytest.importorskip("torch")
    folder = PLAIN.save(tmp_path / "ck")
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": {"a": torch.zeros(2)}, "epoch": 3}, folder / "pytorch_model.bin")
    with pytest.raises(InvalidCheckpoint, match="under 'state_dict'"):
        open_checkpoint(folder)
    torch.save({"a": torch.zeros(2), "b": Path}, folder / "pytorch_model.bin")
    with pytest.raises(InvalidCheckpoint) as refused:
        open_checkpoint(folder)
    assert "can run what it holds" in refused.value.hint


def test_a_checkpoint_given_as_a_model_leads_to_its_conversion(tmp_path: Path) -> None:
    """It was told that the folder holds no language models, and nothing more."""
    folder = PLAIN.save(tmp_path / "clip llama")
    with pytest.raises(ModelNotFound, match="looks like a checkpoint") as found:
        resolve(folder)
    assert f"astrollava models convert '{folder}' -o DIR" in found.value.hint
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="no language models"):
        resolve(folder)
