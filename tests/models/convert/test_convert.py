"""Converting: what is written, that it is whole or not there, and what it costs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from astrollava.convert import convert as convert_by_any_means
from astrollava.errors import (
    InvalidCheckpoint,
    InvalidRequest,
    NotEnoughSpace,
    UnsupportedModel,
)
from astrollava.models import resolve
from astrollava.models.checkpoint import open_checkpoint
from astrollava.models.convert import convert
from astrollava.quantize import quantize
from checkpoint_files import save_numbers
from plain_checkpoint import PlainLlava

PLAIN = PlainLlava()
SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = PLAIN.save(tmp_path_factory.mktemp("one") / "tiny-llava")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def fields(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def numbers(path: Path) -> dict[str, np.ndarray]:
    return {t.name: t.data.reshape(t.shape[::-1]) for t in gguf.GGUFReader(path).tensors}


def test_the_files_say_where_they_come_from(folder: Path, tmp_path: Path) -> None:
    files = convert(
        open_checkpoint(folder), tmp_path / "out", quantize="f32", mmproj_quantize="f16"
    )
    assert resolve(tmp_path / "out").text == files.text
    assert files.text.name == "tiny-llava-f32-text.gguf"
    for path in (files.text, files.mmproj):
        keys = fields(path)
        assert keys["general.name"] == "tiny-llava"
        assert keys["general.license"] == files.licence == "mit"
        assert keys["astrollava.checkpoint.layout"] == "hf-llava"
        hashes = dict(
            zip(
                keys["astrollava.checkpoint.files"],
                keys["astrollava.checkpoint.sha256"],
                strict=True,
            )
        )
        assert set(hashes) == {"model.safetensors", "config.json"}
        for name, digest in hashes.items():
            assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    text, mmproj = fields(files.text), fields(files.mmproj)
    assert text["general.file_type"] == gguf.LlamaFileType.ALL_F32
    assert mmproj["general.file_type"] == gguf.LlamaFileType.MOSTLY_F16
    assert mmproj["astrollava.render.rule"] == "pad"
    assert mmproj["astrollava.render.background"] == [122, 116, 104]
    assert mmproj["astrollava.vision.class_token"] == "last"
    assert "clip.vision.feature_layer" not in mmproj
    assert len(text["tokenizer.ggml.tokens"]) == PLAIN.vocabulary


def test_only_order_and_type_change(folder: Path, tmp_path: Path) -> None:
    """The numbers in the files, read by another library, are those of the checkpoint."""
    checkpoint = open_checkpoint(folder)
    files = convert(checkpoint, tmp_path / "out", quantize="f32", mmproj_quantize="f32")
    text, mmproj = numbers(files.text), numbers(files.mmproj)

    def original(name: str) -> np.ndarray:
        return checkpoint.tensors[name].read()

    assert np.array_equal(text["token_embd.weight"], original("language.embed_tokens.weight"))
    assert np.array_equal(
        text["blk.0.ffn_down.weight"], original("language.layers.0.mlp.down_proj.weight")
    )
    queries = original("language.layers.0.self_attn.q_proj.weight")
    paired = queries.reshape(2, 2, 8, 32).swapaxes(1, 2).reshape(32, 32)
    assert np.array_equal(text["blk.0.attn_q.weight"], paired)
    places = original("vision.embeddings.position_embedding.weight")
    assert np.array_equal(mmproj["v.position_embd.weight"], np.roll(places, -1, axis=0))
    assert np.array_equal(mmproj["mm.2.bias"], original("projector.2.bias"))
    assert "v.post_ln.weight" not in mmproj


def test_the_same_checkpoint_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = (convert(open_checkpoint(folder), tmp_path / turn) for turn in "ab")
    assert first.text.read_bytes() == second.text.read_bytes()
    assert first.mmproj.read_bytes() == second.mmproj.read_bytes()


def test_pieces_of_any_size_give_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large tensors are converted in pieces: heads must stay whole, and turned rows in order."""
    whole = convert(open_checkpoint(folder), tmp_path / "whole", mmproj_quantize="f32")
    for size in (1, 300, 1 << 12):
        monkeypatch.setattr("astrollava.models.convert._writer._PIECE", size)
        pieces = convert(open_checkpoint(folder), tmp_path / f"{size}", mmproj_quantize="f32")
        assert pieces.text.read_bytes() == whole.text.read_bytes()
        assert pieces.mmproj.read_bytes() == whole.mmproj.read_bytes()


LAYER = "language_model.model.layers.0."


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"without": f"{LAYER}mlp.up_proj.weight"},
            InvalidCheckpoint,
            f"lacks the weight {LAYER}mlp.up",
        ),
        ({"without": "language_model.lm_head.weight"}, InvalidCheckpoint, "lm_head"),
        (
            {"without": "multi_modal_projector.linear_2.bias"},
            InvalidCheckpoint,
            "multi_modal_projector.linear_2.bias",
        ),
        (
            {"changed": {f"{LAYER}self_attn.q_proj.weight": np.ones((32, 16))}},
            InvalidCheckpoint,
            r"shape \(32, 16\).*\(32, 32\)",
        ),
        (
            {"changed": {"language_model.model.norm.weight": np.full(32, np.nan)}},
            InvalidCheckpoint,
            r"norm.weight' \(model.safetensors\) has 32 of 32 numbers not finite",
        ),
    ],
)
def test_a_checkpoint_that_is_not_whole_leaves_nothing(
    change: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(PLAIN.save(tmp_path / "hf", **change))
    with pytest.raises(error, match=message):
        convert(checkpoint, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


UP = f"{LAYER}mlp.up_proj.weight"


def holding(kind: type[np.floating[Any]] = np.float32, **values: float) -> dict[str, np.ndarray]:
    """A matrix of ones with other numbers at some places of its rows from 40 on."""
    numbers = np.ones((64, 32), kind)
    for at, value in values.items():
        row, column = at.removeprefix("at").split("_")
        numbers[int(row), int(column)] = value
    return {UP: numbers}


@pytest.mark.parametrize(
    ("dtype", "changed", "quantize", "message"),
    [
        (
            "F32",
            holding(at40_3=np.nan, at41_0=np.inf, at63_31=-np.inf),
            "q8_0",
            (
                rf"'{UP}' \(model.safetensors\) has 3 of 2 048 numbers not finite \(1 NaN, 2"
                r" infinite\), the first at \[40, 3\].*download it again.*diverged"
            ),
        ),
        (
            "F16",
            holding(np.float16, at50_1=np.inf),
            "f16",
            r"1 of 2 048 numbers not finite \(1 infinite\).* \[50, 1\].*save it in bfloat16",
        ),
        (
            "F32",
            holding(at44_0=-70000.0, at45_0=80000.0),
            "f16",
            (
                rf"'{UP}' .* has 2 of 2 048 numbers beyond the 65504 that f16 can hold, up to"
                r" 80000, the first at \[44, 0\].*bf16 or f32 \(--quantize"
            ),
        ),
        (
            "F32",
            holding(at44_0=1e9),
            "q8_0",
            r"1 of 2 048 numbers beyond the 8.31901e\+06 that q8_0",
        ),
    ],
)
@pytest.mark.parametrize("piece", [1 << 10, 8 << 20])
def test_weights_that_cannot_be_stored_are_counted(
    dtype: str,
    changed: dict[str, np.ndarray],
    quantize: str,
    message: str,
    piece: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One bad number in a billion or all of them: who trained it has to know which, and where."""
    for module in ("_writer", "_unfit"):
        monkeypatch.setattr(f"astrollava.models.convert.{module}._PIECE", piece)
    folder = PlainLlava(dtype=dtype).save(tmp_path / "hf", changed=changed)
    with pytest.raises(InvalidCheckpoint, match=message):
        convert(open_checkpoint(folder), tmp_path / "out", quantize=quantize)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.nan, 1.0, r"lora_A.weight' \(adapter_model.safetensors\) has 128 of 128"),
        (1.0, np.inf, r"lora_B.weight' \(adapter_model.safetensors\) has 256 of 256"),
        (
            1e30,
            1e30,
            r"up_proj.weight' .*and its adapter are sound, and their sum has 2 048",
        ),
    ],
)
def test_an_adapter_that_is_not_finite_is_blamed_itself(
    a: float, b: float, message: str, tmp_path: Path
) -> None:
    """The base model is sound: to download it again would be in vain."""
    PLAIN.save(tmp_path / "hf")
    lora = tmp_path / "lora"
    lora.mkdir()
    place = f"base_model.model.{UP}".removesuffix(".weight")
    factors = {"A": np.full((4, 32), a, np.float32), "B": np.full((64, 4), b, np.float32)}
    save_numbers(
        lora / "adapter_model.safetensors",
        {f"{place}.lora_{half}.weight": values for half, values in factors.items()},
    )
    config = {"peft_type": "LORA", "lora_alpha": 4.0, "base_model_name_or_path": "hf"}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidCheckpoint, match=message):
        convert(open_checkpoint(lora), tmp_path / "out", quantize="bf16")


def test_weights_nobody_asks_for_are_named(tmp_path: Path) -> None:
    """A layer more than the configuration says would be lost without a word."""
    larger = PlainLlava(layers=2)
    folder = larger.save(tmp_path / "hf", config={"text_config": PLAIN.config()["text_config"]})
    with pytest.raises(UnsupportedModel, match=r"9 weights.*layers\.1"):
        convert(open_checkpoint(folder), tmp_path / "out")


def test_tied_embeddings_are_written_once(tmp_path: Path) -> None:
    folder = PLAIN.save(
        tmp_path / "hf",
        config={"tie_word_embeddings": True},
        without="language_model.lm_head.weight",
    )
    files = convert(open_checkpoint(folder), tmp_path / "out")
    assert "output.weight" not in numbers(files.text)


def test_nothing_is_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidRequest, match="is there already"):
        convert(open_checkpoint(folder), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert convert(open_checkpoint(folder), tmp_path / "empty").text.is_file()


@pytest.mark.parametrize("after", [0, 3])
def test_stopped_on_the_way_it_leaves_nothing(after: int, folder: Path, tmp_path: Path) -> None:
    """Ctrl-C must leave neither half a model nor a folder of hidden gigabytes."""
    seen = []

    def stop(step: str, done: int, total: int) -> None:
        seen.append(done)
        if len(seen) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(open_checkpoint(folder), tmp_path / "out", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_where_it_should(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    files = convert(
        open_checkpoint(folder), tmp_path / "out", progress=lambda *step: told.append(step)
    )
    size = files.text.stat().st_size + files.mmproj.stat().st_size
    assert {(step, total) for step, _, total in told} == {("converting", size)}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert 0.99 * size < told[-1][1] <= size


def test_a_full_disk_is_noticed_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(NotEnoughSpace, match=r"need.*left"):
        convert(open_checkpoint(folder), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantize", ["q8_0", "q6_k"])
@pytest.mark.parametrize("mmproj_quantize", ["f16", "q8_0", "q5_0"])
def test_types_are_mixed_freely(
    quantize: str, mmproj_quantize: str, folder: Path, tmp_path: Path
) -> None:
    """Some are written here, others by llama.cpp: the way there must not show."""
    pytest.importorskip("llama_cpp")
    files = convert_by_any_means(
        folder,
        tmp_path / "out",
        quantize=quantize,
        mmproj_quantize=mmproj_quantize,
        name="Tiny",
        render_rule="crop",
        threads=1,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert resolve(tmp_path / "out").mmproj == files.mmproj
    assert files.text.name == f"Tiny-{quantize}-text.gguf"
    assert files.licence == "mit"
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(files.mmproj).tensors}
    assert kinds["v.blk.0.ffn_up.weight"] == mmproj_quantize.upper()
    assert kinds["v.patch_embd.weight"] in {"F32", "F16"}
    keys = fields(files.mmproj)
    assert keys["astrollava.render.rule"] == "crop"
    assert keys["astrollava.vision.class_token"] == "last"


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8_0", "q4_k_m"])
def test_the_towers_type_left_out_is_the_same_both_ways(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    """One step or two must not give two models that differ in what they see."""
    pytest.importorskip("llama_cpp")
    once = convert_by_any_means(folder, tmp_path / "once", quantize=kind, threads=1)
    whole = convert_by_any_means(folder, tmp_path / "whole", quantize="f32", threads=1)
    twice = quantize(whole, kind, tmp_path / "twice", threads=1)
    assert twice is not None
    tower = kind if kind in ("f32", "bf16") else "q8_0"
    assert once.mmproj.name == twice.mmproj.name == f"tiny-llava-{tower}-mmproj.gguf"
    kinds = [
        {t.name: t.tensor_type.name for t in gguf.GGUFReader(files.mmproj).tensors}
        for files in (once, twice)
    ]
    assert [found["v.blk.0.ffn_up.weight"] for found in kinds] == [tower.upper()] * 2


def test_requests_are_checked_before_the_work(folder: Path, tmp_path: Path) -> None:
    for wrong in ({"quantize": "q7"}, {"mmproj_quantize": "q2_k"}, {"render_rule": "squash"}):
        with pytest.raises(InvalidRequest):
            convert_by_any_means(folder, tmp_path / "out", **wrong)
    assert list(tmp_path.iterdir()) == []


_PEAK = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from astrollava.models.checkpoint import open_checkpoint
from astrollava.models.convert import convert
files = convert(open_checkpoint(sys.argv[1]), Path(sys.argv[2]), quantize="q4_0")
# Not getrusage: its figure begins with that of the process which started this one.
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
assert not {"torch", "transformers", "gguf", "safetensors", "llama_cpp"} & sys.modules.keys()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sparse files and /proc/self/status")
def test_gigabytes_pass_through_little_memory(tmp_path: Path) -> None:
    """A 13 GB checkpoint must fit a laptop. Here 2.3 GB are converted, most of them two tensors."""
    large = PlainLlava(
        width=4096, inner=11008, heads=32, vocabulary=48000, dtype="F32", tower_width=64
    )
    folder = large.save(tmp_path / "large", sparse=True)
    size = (folder / "model.safetensors").stat().st_size
    assert size > 2.3e9
    assert os.stat(folder / "model.safetensors").st_blocks * 512 < 1 << 20
    child = subprocess.run(
        [sys.executable, "-c", _PEAK, str(folder), str(tmp_path / "out"), str(SUPPORT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) * 1024 < 500e6
