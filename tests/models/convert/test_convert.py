"""Converting: what is written, that it is whole or not there, and what it costs."""

from __future__ import annotations

import hashlib
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
            "norm.weight' holds values that are not finite",
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
