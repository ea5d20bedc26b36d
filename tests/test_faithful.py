"""Third-party LLaVA-1.5 pairs say what the original says, whatever llama.cpp and the file do."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

import gguf as gguf_package  # noqa: E402

import llava_checkpoints  # noqa: E402
import third_party  # noqa: E402
from astrollava import Describer  # noqa: E402
from astrollava.cli.models.repair import repair as command  # noqa: E402
from astrollava.engine import Engine  # noqa: E402
from astrollava.errors import InvalidRequest, ModelError, NotEnoughSpace  # noqa: E402
from astrollava.faithful import LostPatchWarning, faithful, repair_projector  # noqa: E402
from astrollava.models import ModelFiles, repair, resolve  # noqa: E402
from astrollava.models.checkpoint import open_checkpoint  # noqa: E402
from astrollava.models.convert import convert  # noqa: E402
from astrollava.parity import default_pictures  # noqa: E402
from gguf_files import MMPROJS  # noqa: E402

#: How others write the file -> what is wrong with it here, and the least cosine of a patch.
FILES: dict[str, tuple[dict[str, Any], tuple[str, ...], float]] = {
    "2024": ({}, ("missing-layer", "class-token"), 0.99999),
    "2023": ({"named": False}, ("projector-type", "missing-layer", "class-token"), 0.99999),
    "all layers": ({"all_layers": True, "by_old_converter": False}, ("class-token",), 0.99999),
    "q8_0": (
        {"dtype": gguf_package.GGMLQuantizationType.Q8_0},
        ("missing-layer", "class-token"),
        0.999,
    ),
}


@pytest.fixture(scope="module")
def net() -> Any:
    torch.set_num_threads(1)
    return third_party.model()


@pytest.fixture(scope="module")
def text(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The language model, and the checkpoint it was made of beside it."""
    folder = tmp_path_factory.mktemp("llava")
    checkpoint = llava_checkpoints.save(net, folder / "checkpoint")
    return convert(open_checkpoint(checkpoint), folder / "pair", quantize="f32").text


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def given(net: Any, text: Path, tmp_path: Path, request: pytest.FixtureRequest) -> ModelFiles:
    """A third party's pair."""
    third_party.write_mmproj(tmp_path / "mmproj.gguf", net, **getattr(request, "param", {}))
    return resolve(text, tmp_path / "mmproj.gguf")


def original(net: Any, rgb: np.ndarray) -> np.ndarray:
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (llava_checkpoints.CLIP_MEAN, llava_checkpoints.CLIP_STD)
    )
    pixels = (torch.from_numpy(rgb).permute(2, 0, 1).float() / 255.0 - mean) / std
    with torch.inference_mode():
        return net.get_image_features(pixel_values=pixels[None]).pooler_output[0].numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("given", "defects", "least"), FILES.values(), ids=FILES, indirect=["given"]
)
def test_every_patch_is_the_originals(
    given: ModelFiles, defects: tuple[str, ...], least: float, net: Any
) -> None:
    """The best known tools read LLaVA-1.5 with each patch at its neighbour's place."""
    right = faithful(given)
    assert right.repaired == defects
    assert right.twin is not None
    (rgb,) = default_pictures(56, 1)
    wanted = original(net, rgb)
    with Engine(given.text, right.files.mmproj, mmproj_twin=right.twin, threads=1) as engine:
        assert engine.lost_patches == ()
        assert cosine(engine.encode_image(rgb).values, wanted).min() > least
    with Engine(given.text, right.files.mmproj, threads=1) as engine:
        # Without the twin the first patch is its neighbour's copy, and known to be.
        values = engine.encode_image(rgb).values
        assert engine.lost_patches == (0,)
        assert np.array_equal(values[0], values[1])
        assert cosine(values, wanted)[1:].min() > least
    if "projector-type" not in defects:
        with Engine(given.text, given.mmproj, threads=1) as engine:
            assert cosine(engine.encode_image(rgb).values, wanted)[1:].min() < 0.9


def test_a_describer_repairs_by_itself_and_says_so(
    given: ModelFiles, net: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (rgb,) = default_pictures(56, 1)
    caplog.set_level(logging.INFO, logger="astrollava")
    with Describer(given.text, mmproj=given.mmproj, threads=1) as describer:
        facts = describer.facts
        result = describer.describe(rgb, max_tokens=4)
        seen = describer._session.engine.encode_image(rgb).values
    assert any("repaired copy" in record.message for record in caplog.records)
    assert cosine(seen, original(net, rgb)).min() > 0.99999
    assert facts.repaired == ("missing-layer", "class-token")
    # The hash is that of the file the user has, and can look up.
    assert facts.files["mmproj"]["name"] == "mmproj.gguf"
    assert list(result.provenance.model["repaired"]) == ["missing-layer", "class-token"]


def test_a_converted_pair_needs_no_repair(text: Path) -> None:
    right = faithful(resolve(text))
    assert right.repaired == ()
    assert right.files == right.given


def test_a_pair_without_class_token_costs_nothing(own_cache: Path) -> None:
    """Asking llama.cpp for its order would cost every start a fifth of a second."""
    right = faithful(resolve("embedded"))
    assert (right.files, right.repaired, right.twin) == (right.given, (), None)
    assert not own_cache.exists()


def test_a_model_that_cannot_be_mended_is_warned_of(
    tmp_path: Path, text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """MobileVLM's projector joins patches: read in silence, the answers would be taken for its."""
    model = MMPROJS["mlp-cls"]()
    model.keys["clip.projector_type"] = ("str", "ldp")
    (tmp_path / "mmproj.gguf").write_bytes(model.write())
    right = faithful(resolve(text, tmp_path / "mmproj.gguf"))
    assert (right.files, right.repaired, right.twin) == (right.given, (), None)
    assert any("cannot be mended" in record.message for record in caplog.records)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that cannot be written, as on the nodes of a cluster; the temporary folder comes."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "file" / "cache"))
    spare = tmp_path / "tmp"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    return spare


@pytest.mark.filterwarnings("error")
def test_without_a_cache_answers_are_the_same(
    given: ModelFiles, net: Any, text: Path, no_cache: Path
) -> None:
    """Of a converted pair only the twin failed, and the other answers came in silence."""
    (rgb,) = default_pictures(56, 1)
    for files in (given, resolve(text)):
        right = faithful(files)
        assert right.twin is not None
        assert right.twin.is_relative_to(no_cache)
        del right
        with Describer(files.text, mmproj=files.mmproj, threads=1) as describer:
            # llama.cpp has read them.
            assert not list(no_cache.iterdir())
            result = describer.describe(rgb, max_tokens=4)
            seen = describer._session.engine.encode_image(rgb).values
        assert "lost_patches" not in result.provenance.model
        assert cosine(seen, original(net, rgb)).min() > 0.99999


def test_a_twin_that_cannot_be_made_costs_one_patch(
    given: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room must not keep the model from being used; nor may it go unseen."""

    def full(*_: object, **__: object) -> Path:
        raise NotEnoughSpace("no room")

    monkeypatch.setattr(repair, "twin", full)
    with (
        pytest.warns(LostPatchWarning, match="first patch.*no room") as caught,
        Describer(given.text, mmproj=given.mmproj, threads=1) as describer,
    ):
        result = describer.describe(default_pictures(56, 1)[0], max_tokens=2)
    # It points to whoever made the Describer.
    assert Path(caught[0].filename) == Path(__file__)
    assert result.provenance.to_dict()["model"]["lost_patches"] == [0]
    assert result.provenance.model["repaired"]
    schema = Path(__file__).parents[1] / "docs" / "schema" / "result.json"
    jsonschema.validate(json.loads(result.to_json()), json.loads(schema.read_text()))


def test_without_any_folder_the_file_cannot_be_repaired(given: ModelFiles, no_cache: Path) -> None:
    no_cache.rmdir()
    with pytest.raises(ModelError, match="cannot be written"):
        faithful(given)


_ELSEWHERE = """
import json, sys
from pathlib import Path
import numpy as np
from astrollava.engine import Engine
from astrollava.faithful import faithful
from astrollava.models import resolve
right = faithful(resolve(sys.argv[1], sys.argv[2]))
with Engine(right.files.text, right.files.mmproj, mmproj_twin=right.twin, threads=1) as engine:
    values = engine.encode_image(np.load(sys.argv[3])).values
    np.save(sys.argv[3], values)
    lost = engine.lost_patches
print(json.dumps([right.repaired, right.twin is None, lost]))
"""


def test_a_llama_cpp_that_is_mended_upstream_is_left_alone(
    given: ModelFiles, text: Path, net: Any, tmp_path: Path, fixed_runtime: dict[str, str]
) -> None:
    """There the file's order is right; ours is turned back, and no row may move."""
    (rgb,) = default_pictures(56, 1)
    for mmproj, repaired in (
        (given.mmproj, ["missing-layer"]),
        (resolve(text).mmproj, ["class-token"]),
    ):
        np.save(tmp_path / "rows.npy", rgb)
        command = [sys.executable, "-c", _ELSEWHERE, str(text), str(mmproj)]
        done = subprocess.run(
            [*command, str(tmp_path / "rows.npy")],
            env={**os.environ, **fixed_runtime},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert json.loads(done.stdout) == [repaired, True, []]
        assert cosine(np.load(tmp_path / "rows.npy"), original(net, rgb)).min() > 0.99999


def test_a_file_is_repaired_by_its_path(given: ModelFiles, tmp_path: Path) -> None:
    done = repair_projector(given.mmproj, tmp_path / "repaired.gguf")
    assert done.path == tmp_path / "repaired.gguf"
    assert [defect.name for defect in done.defects] == ["missing-layer", "class-token"]
    assert done.order == "last"
    assert repair_projector(done.path).defects == ()


def test_no_file_is_overwritten(given: ModelFiles, tmp_path: Path) -> None:
    """A language model of 4 GB was, whose name was given by mistake."""
    (tmp_path / "model.gguf").write_bytes(b"precious")
    with pytest.raises(InvalidRequest, match=r"model\.gguf exists"):
        repair_projector(given.mmproj, tmp_path / "model.gguf")
    assert (tmp_path / "model.gguf").read_bytes() == b"precious"


def test_the_command_says_what_was_wrong_and_which_file_to_use(
    given: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its output is for `--mmproj "$(astrollava models repair ...)"`: one path, nothing else."""
    command(given.mmproj, tmp_path / "repaired.gguf")
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'repaired.gguf'}\n"
    assert "missing-layer" in told.err
    command(tmp_path / "repaired.gguf", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "file": str(tmp_path / "repaired.gguf"),
        "class_token": "last",
        "defects": [],
        "use": str(tmp_path / "repaired.gguf"),
    }
