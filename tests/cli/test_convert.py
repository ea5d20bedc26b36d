"""``astrollava models convert``: a checkpoint's folder goes in, a model comes out."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

from checkpoint_files import bin_file
from command_line import run
from plain_checkpoint import PlainLlava


def test_a_checkpoint_becomes_a_model_by_one_command(tmp_path: Path) -> None:
    """The two paths alone are written, so that a script can go on with them."""
    folder = PlainLlava().save(tmp_path / "tiny-llava")
    done = run(
        "models", "convert", folder, "-o", tmp_path / "out", "--quantize", "q8_0",
        "--name", "Tiny", "--licence", "MIT", "--render-rule", "crop",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "warning  the checkpoint has no chat template: LLaVA's v1 is assumed"
    ], "the rule was given, the template was not"
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == ["Tiny-q8_0-text.gguf", "Tiny-q8_0-mmproj.gguf"]
    shown = run("models", "show", tmp_path / "out", "--json")
    said = json.loads(shown.stdout)["facts"]
    assert (said["quantization"], said["projector_quantization"]) == ("Q8_0", "Q8_0")
    assert (said["licence"], said["render"]["rule"], said["image_tokens"]) == ("MIT", "crop", 4)


def test_a_hostile_checkpoint_is_refused_with_a_reason(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "canary"),)

    folder = PlainLlava().save(tmp_path / "evil")
    (folder / "model.safetensors").unlink()
    bin_file(folder / "pytorch_model.bin", pickle.dumps({"a": Bomb()}, 2))
    done = run("models", "convert", folder, "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert "mkdir" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil"]


def test_a_part_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    folder = PlainLlava().save(tmp_path / "ck", config={"projector_hidden_act": "relu"})
    done = run("models", "convert", folder, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "projector has the activation 'relu'" in done.stderr
