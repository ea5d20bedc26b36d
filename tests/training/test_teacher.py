"""Teacher and start of the tower: patches that do not meet would learn each other's features."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import SiglipVisionConfig, SiglipVisionModel  # noqa: E402

from astrollava_training.config import Vision  # noqa: E402
from astrollava_training.data.facts import TARGETS  # noqa: E402
from astrollava_training.initial import mimic_trained  # noqa: E402
from astrollava_training.teacher import Teacher  # noqa: E402


@pytest.mark.parametrize("vision", [Vision(64, 16, 32, 64, 2, 2), Vision(120, 12, 24, 48, 2, 2)])
def test_it_has_the_tokens_of_the_tower_in_their_width(vision: Vision) -> None:
    teacher = Teacher(vision).eval()
    pixels = torch.zeros(2, 3, vision.image_size, vision.image_size)
    side = vision.image_size // vision.patch_size
    assert teacher.patches(pixels).shape == (2, side * side, vision.hidden_size)
    assert teacher(pixels).shape == (2, len(TARGETS))


def test_a_patch_answers_to_its_own_place() -> None:
    """A spot moves the features of the patch it lies in most, wherever that is."""
    torch.manual_seed(0)
    vision = Vision(64, 16, 32, 64, 2, 2)
    teacher = Teacher(vision).eval()
    empty = torch.zeros(1, 3, 64, 64)
    for row in range(4):
        for column in range(4):
            spot = empty.clone()
            spot[:, :, row * 16 + 4 : row * 16 + 12, column * 16 + 4 : column * 16 + 12] = 1.0
            moved = (teacher.patches(spot) - teacher.patches(empty)).norm(dim=-1)[0]
            assert int(moved.argmax()) == 4 * row + column


def tower() -> Any:
    torch.manual_seed(0)
    return SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            image_size=64, patch_size=8, vision_use_head=False,
        )
    )  # fmt: skip


def test_a_tower_begins_by_looking_near() -> None:
    """Without it each patch first looks everywhere alike, and must find its neighbours."""
    built = tower()
    mimic_trained(built, heads=2)
    places = built.embeddings.position_embedding.weight.detach()
    alike = places @ places.T
    rows, columns = torch.arange(64) // 8, torch.arange(64) % 8
    apart = (rows[:, None] - rows).square() + (columns[:, None] - columns).square()
    assert (alike.argmax(1) == torch.arange(64)).all()
    assert alike[apart == 1].min() > alike[apart > 1].max()
    attention = built.encoder.layers[0].self_attn
    values = (attention.out_proj.weight @ attention.v_proj.weight).detach()
    assert values.diagonal().mean() == pytest.approx(-0.4, abs=0.15)
    for head in (slice(0, 16), slice(16, 32)):
        product = (attention.q_proj.weight[head].T @ attention.k_proj.weight[head]).detach()
        assert product.diagonal().mean() > 0.3


def test_the_start_is_repeatable() -> None:
    first, second = tower(), tower()
    for built in (first, second):
        torch.manual_seed(5)
        mimic_trained(built, heads=2)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
