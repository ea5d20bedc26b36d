"""Tiny pretrained parts, a recipe and a run of them, and an open_clip that can be imported."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_parts
from astrollava_training.cli import main
from astrollava_training.kinds import load_any
from astrollava_training.recipe import LlavaRecipe

RECIPE = """
    kind = "two-stage"
    name = "tiny"
    licence = "MIT"
    [model]
    tower = "{parts}/clip"
    language = "{parts}/llama"
    [data]
    length = 256
    held_out = 2
    [stage1]
    data = ["captions.json"]
    template = "plain"
    trains = ["projector"]
    lr = 1e-2
    batch = 8
    epochs = 3
    [stage2]
    data = ["conversations.json"]
    template = "v1"
    trains = ["projector", "language"]
    lr = 5e-3
    batch = 8
    epochs = 12
    warmup = 0.1
    [train]
    dtype = "fp32"
    optimizer = "adamw"
    rounding = "nearest"
    checkpointing = "none"
    compile = false
"""

_KEPT: list[Any] = []  # operators last as long as the library that defines them


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``clip``, ``clip-whole``, ``siglip``, ``llama`` and ``qwen2`` (with tied weights)."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("parts")
    tiny_parts.clip_tower(folder / "clip")
    tiny_parts.clip_tower(folder / "clip-whole", whole=True)
    tiny_parts.siglip_tower(folder / "siglip")
    tiny_parts.language_model(folder / "llama")
    tiny_parts.language_model(folder / "qwen2", "qwen2", tied=True)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Disks in three colours, with captions and conversations."""
    return tiny_parts.write_data(tmp_path_factory.mktemp("two-stage") / "data")


@pytest.fixture(scope="session")
def written(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `RECIPE`."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE.format(parts=parts), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recipe(written: Path) -> LlavaRecipe:
    """What is in it."""
    found = load_any(written)
    assert isinstance(found, LlavaRecipe)
    return found


@pytest.fixture(scope="session")
def trained(written: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of both stages."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    given = ["--data", str(data), "-o", str(out), "--device", "cpu", "--workers", "0"]
    assert main(["run", str(written), *given]) == 0
    return out


@pytest.fixture(scope="session")
def open_clip() -> Any:
    """The package open_clip, where it and any torchvision can be found.

    Both may lie in ``towers`` inside the environment: a torchvision that is built for CUDA, put
    among the other packages, would keep transformers from being imported on a CPU.
    """
    torch = pytest.importorskip("torch")
    sys.path.append(str(Path(sys.prefix) / "towers"))
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("open_clip needs torchvision, which is not installed: see `make test`")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # It lacks its own operators on a CPU, and stops at the first of them.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor a) -> Tensor")
        library.define("qnms(Tensor a) -> Tensor")
        _KEPT.append(library)
    return pytest.importorskip("open_clip")


@pytest.fixture(scope="session")
def tiny_open_clip(open_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model of open_clip with a tower and a text encoder of a few layers."""
    path = tmp_path_factory.mktemp("open-clip") / "astrollava-tiny.json"
    vision = {"image_size": 56, "patch_size": 14, "width": 64, "head_width": 32, "layers": 3}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return path.stem
