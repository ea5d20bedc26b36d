"""The comparison finds every layout equal, and every fault."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

from safetensors.torch import save_file  # noqa: E402

import llava_checkpoints  # noqa: E402
from astrollava import models  # noqa: E402
from astrollava.cli.models.parity import parity as command  # noqa: E402
from astrollava.engine import Engine  # noqa: E402
from astrollava.errors import EngineUnavailable, InvalidRequest  # noqa: E402
from astrollava.models.checkpoint import open_checkpoint  # noqa: E402
from astrollava.models.convert import convert  # noqa: E402
from astrollava.parity import Limits, ParityReport, parity  # noqa: E402
from astrollava.parity.compare import default_pictures  # noqa: E402
from astrollava.parity.loading import load_reference  # noqa: E402
from astrollava.parity.reference import ReferenceAnswer  # noqa: E402
from clear_choices import clear_question  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def adapter(folder: Path, seed: int = 5) -> dict[str, Path]:
    """An original LLaVA that is a LoRA adapter beside its base model."""
    net = llava_checkpoints.model()
    base = llava_checkpoints.save_original(net, folder / "base")
    lora = folder / "lora"
    lora.mkdir()
    random = torch.Generator().manual_seed(seed)
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_{}.weight"
    halves = {
        name.format("A"): torch.randn(4, 64, generator=random) * 0.3,
        name.format("B"): torch.randn(64, 4, generator=random) * 0.3,
    }
    save_file(halves, lora / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "base"}
    (lora / "adapter_config.json").write_text(json.dumps(settings))
    extra = {
        f"base_model.model.{key}": value
        for key, value in llava_checkpoints.state(net).items()
        if "mm_projector" in key
    }
    torch.save(extra, lora / "non_lora_trainables.bin")
    (lora / "config.json").write_text((base / "config.json").read_text())
    return {"checkpoint": lora, "base": base}


def layout(kind: str, folder: Path) -> dict[str, Path]:
    """Save a checkpoint; what comes back is how it is opened."""
    make, save = llava_checkpoints.model, llava_checkpoints.save
    if kind == "adapter":
        return adapter(folder)
    if kind == "original":
        tower = folder / "clip-tower"
        llava_checkpoints.save_original(make(), folder / "original", tower=tower)
        return {"checkpoint": folder / "original", "vision_tower": tower}
    net = {
        "clip and llama": lambda: make(),
        "clip and qwen2": lambda: make(language="qwen2", text={"tie_word_embeddings": True}),
        "siglip and mistral": lambda: make(tower="siglip", language="mistral"),
    }[kind]()
    return {"checkpoint": save(net, folder / "hf")}


def pair_of(paths: dict[str, Path], out: Path, quantize: str) -> Path:
    opened = {name: path for name, path in paths.items() if name != "checkpoint"}
    made = convert(
        open_checkpoint(paths["checkpoint"], **opened),
        out,
        quantize=quantize,
        mmproj_quantize=quantize,
    )
    return made.text.parent


KINDS = ("clip and llama", "clip and qwen2", "siglip and mistral", "original", "adapter")


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_says_the_same(kind: str, tmp_path: Path) -> None:
    """Of all patches, the first included, and to the last word."""
    paths = layout(kind, tmp_path)
    pair = pair_of(paths, tmp_path / "pair", "f16")
    files = models.resolve(pair)
    with Engine(files.text, files.mmproj, threads=1) as engine:
        where = dict(paths)
        reference = load_reference(open_checkpoint(where.pop("checkpoint"), **where))
        pictures = default_pictures(engine.image_size[0])
        question = clear_question(engine, reference, pictures, max_tokens=16, margin=0.05)
    report = parity(pair=pair, threads=1, max_tokens=16, question=question, **paths)
    assert report.cosine.shape == (4, 16)
    assert report.lost == ()
    assert report.cosine_min > 0.99999, report
    assert report.logits < 0.01, report
    assert report.same_text, report.differing


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and its pair."""
    folder = tmp_path_factory.mktemp("made")
    paths = layout("clip and llama", folder)
    return paths["checkpoint"], pair_of(paths, folder / "pair", "f32")


def changed(checkpoint: Path, folder: Path, change: str) -> Path:
    """Save the checkpoint anew with one fault a converter might have."""
    from transformers import LlavaForConditionalGeneration

    net: Any = LlavaForConditionalGeneration.from_pretrained(checkpoint)
    state = net.state_dict()
    with torch.no_grad():
        for name, weight in state.items():
            if change in name:
                weight.copy_(torch.roll(weight, 1, dims=0))
    return llava_checkpoints.save(net, folder / "changed")


@pytest.mark.parametrize(
    ("change", "patches"),
    [
        ("position_embedding.weight", True),
        ("pre_layrnorm.bias", True),
        ("layers.1.mlp.fc1.bias", True),
        ("linear_2.bias", True),
        ("language_model.layers.0.self_attn.q_proj.weight", False),
        ("language_model.norm.weight", None),
        ("lm_head.weight", False),
    ],
)
def test_a_fault_shows(
    change: str, patches: bool | None, made: tuple[Path, Path], tmp_path: Path
) -> None:
    """A comparison that passes everything proves nothing."""
    checkpoint, pair = made
    report = parity(changed(checkpoint, tmp_path, change), pair, threads=1, max_tokens=8)
    if patches is None:
        # All ones: turning it round is no fault.
        assert report.cosine_min > 0.99999
        assert report.logits < 0.01
    elif patches:
        assert report.cosine_min < 0.9999, report
        assert report.logits_same_image < 0.01, report
    else:
        assert report.cosine_min > 0.99999, report
        assert report.logits_same_image > 0.05, report


def test_pairs_of_another_size_are_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    other = llava_checkpoints.save(
        llava_checkpoints.model(vision={"image_size": 28}), tmp_path / "other"
    )
    with pytest.raises(InvalidRequest, match=r"\(56, 56\).*\(28, 28\)"):
        parity(other, made[1], threads=1)


def test_the_command_writes_a_table_and_json(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, pair = made
    command(checkpoint, str(pair), threads=1, max_tokens=4, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["cosine"]["min"] > 0.9999
    assert report["cosine"]["median"] >= report["cosine"]["min"]
    assert report["logits"] < 0.01
    assert report["same_text"] is True
    assert report["same"] is True
    assert report["made_of_it"] is True
    command(checkpoint, str(pair), threads=1, max_tokens=4)
    told = capsys.readouterr().out
    assert "same greedy text" in told
    assert re.search(r"^verdict +the same *$", told, re.MULTILINE)


def test_another_model_gets_a_verdict_and_an_exit_code(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that checks its conversion took a wholly different pair for the model."""
    other = llava_checkpoints.save(llava_checkpoints.model(seed=9), tmp_path / "other")
    with pytest.raises(typer.Exit) as stopped:
        command(other, str(made[1]), threads=1, max_tokens=4)
    assert stopped.value.exit_code == 1
    told = capsys.readouterr().out
    assert re.search(r"^verdict +not the same *$", told, re.MULTILINE)
    assert "another checkpoint" in told
    with pytest.raises(typer.Exit):
        command(other, str(made[1]), threads=1, max_tokens=4, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["same"] is False
    assert report["made_of_it"] is False
    assert len(report["failures"]) >= 2


@pytest.mark.parametrize(
    ("given", "limits", "same"),
    [
        ({}, {}, True),
        ({"cosine": [[0.98, 1.0]]}, {}, False),
        ({"cosine": [[0.98, 1.0]]}, {"cosine": 0.97}, True),
        ({"cosine": [[0.1, 1.0]], "lost": (0,)}, {}, True),
        ({"cosine": [[float("nan"), 1.0]]}, {}, False),
        ({"logits": 0.05}, {}, False),
        ({"logits": 0.05}, {"logits": 0.1}, True),
        ({"logits": float("nan")}, {"logits": 0.1}, False),
        ({"same": (False,), "gap": 0.15}, {}, True),
        ({"same": (False,), "gap": 0.3}, {}, False),
        ({"same": (False,), "gap": 0.3}, {"gap": 0.4}, True),
    ],
)
def test_the_verdict_goes_by_its_limits(
    given: dict[str, Any], limits: dict[str, float], same: bool
) -> None:
    values = {"cosine": [[0.9999, 1.0]], "logits": 0.01, "limits": Limits(**limits), **given}
    assert report_of(**values).is_same is same


@pytest.mark.parametrize("limits", [{"cosine": 1.0}, {"logits": 0.0}, {"gap": float("nan")}])
def test_limits_nothing_can_keep_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest):
        Limits(**limits)


def test_without_torch_it_says_what_to_install(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("loading", "reference"):
        monkeypatch.delitem(sys.modules, f"astrollava.parity.{module}")
    with pytest.raises(EngineUnavailable, match=r"torch.*astrollava\[parity\]"):
        parity(*made, threads=1)


def report_of(cosine: list[list[float]], **given: Any) -> ParityReport:
    values = {
        "lost": (),
        "logits": 0.1,
        "logits_same_image": 0.01,
        "logprob_error": 0.2,
        "same": (True,) * len(cosine),
        "gap": 0.0,
        "differing": (),
    }
    return ParityReport(cosine=np.array(cosine), **{**values, **given})


def test_lost_patches_are_named_and_left_out() -> None:
    """Counted in, one patch would hide the others; left out in silence, it would be a lie."""
    report = report_of([[0.2, 1.0, 0.9], [0.5, 0.8, 1.0]], lost=(0,), same=(True, False))
    assert (report.cosine_min, report.cosine_median) == (0.8, 0.95)
    told = report.to_dict()
    assert told["cosine"] == {"min": 0.8, "median": 0.95, "patches": 2, "lost": {"0": 0.2}}
    assert told["same_text"] is False
    assert told["same_texts"] == 1
    assert json.loads(json.dumps(told)) == told
    assert "patch 0, which llama.cpp loses" in str(report)


def test_the_gap_is_that_where_the_texts_part() -> None:
    answer = ReferenceAnswer(
        values=np.zeros((1, 1), np.float32),
        logits=np.zeros(1, np.float32),
        text=" a spiral galaxy",
        logprob=0.0,
        tokens=3,
        pieces=(" a", " spiral", " galaxy"),
        gaps=(5.0, 0.01, 3.0, 9.0),
    )
    assert answer.gap_before("a barred one") == 0.01
    assert answer.gap_before("an edge") == 0.01
    assert answer.gap_before("the") == 5.0
    assert answer.gap_before(" a spiral galaxy with arms") == 9.0
