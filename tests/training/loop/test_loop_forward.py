"""Packing changes no loss and no gradient; nothing is computed or kept that need not be."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tiny_corpus
from astrollava_training.dataset.batches import padded, row
from astrollava_training.loop import activations
from astrollava_training.loop.attention import Segments, attend, packed, works_varlen
from astrollava_training.loop.evaluation import evaluate
from astrollava_training.loop.forward import Learner
from astrollava_training.loop.loss import linear_cross_entropy

IMAGE = tiny_corpus.PICTURES.token


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_corpus.corpus(tmp_path_factory.mktemp("corpus"), 9)


def learner(language: str = "llama", *, tower: bool = False, **change: Any) -> Learner:
    net = tiny_corpus.model(language=language)
    net.requires_grad_(True)
    net.model.vision_tower.requires_grad_(tower)
    return Learner(
        net, mean=tiny_corpus.PICTURES.mean, std=tiny_corpus.PICTURES.std, longest=512, **change
    )


def gradients(made: Learner, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    made.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}


def pixels_of(batch: Any) -> torch.Tensor:
    """Normalise as the processors of transformers do."""
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (tiny_corpus.PICTURES.mean, tiny_corpus.PICTURES.std)
    )
    normal: torch.Tensor = (batch.shades.permute(0, 3, 1, 2).float() / 255 - mean) / std
    return normal


def plain(made: Learner, corpus: Any, number: int) -> torch.Tensor:
    """The loss of one conversation as transformers computes it."""
    begin, end = corpus.bounds[number], corpus.bounds[number + 1]
    batch = row(corpus, [number], IMAGE)
    ids = torch.from_numpy(corpus.ids[begin:end].astype("int64"))[None]
    labels = torch.where(torch.from_numpy(corpus.learned[begin:end])[None], ids, -100)
    pixels = pixels_of(batch)
    out = made.model(
        input_ids=ids,
        pixel_values=pixels if len(pixels) else None,
        labels=labels,
        use_cache=False,
    )
    found: torch.Tensor = out.loss * (labels[:, 1:] != -100).sum()
    return found


def check_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 2e-6 * gradient.norm(), name


@pytest.mark.parametrize("language", ["llama", "qwen2"])
def test_packed_equals_unpacked_equals_transformers(corpus: Any, language: str) -> None:
    """A conversation that sees its neighbour learns from what it will not be given."""
    made = learner(language)
    wanted_loss = torch.stack([plain(made, corpus, n) for n in range(len(corpus))]).sum()
    wanted = gradients(made, wanted_loss)
    everything = range(len(corpus))
    with packed(made.model.model.language_model):
        for batch in (
            row(corpus, everything, IMAGE, multiple=128),
            padded(corpus, everything, IMAGE, multiple=32),
        ):
            loss = made(batch)
            assert abs(float(loss.detach()) - float(wanted_loss.detach())) <= 1e-6 * float(
                wanted_loss.detach()
            )
            check_equal(gradients(made, loss), wanted)
    assert made.model.model.language_model.config._attn_implementation != "astrollava_packed"


def test_neighbours_do_not_matter_at_all(corpus: Any) -> None:
    """Equality to a tolerance would hide a small leak: change a neighbour, look at the other."""
    made = learner()
    batch = row(corpus, [0, 1], IMAGE)
    with packed(made.model.model.language_model), torch.no_grad():
        border = batch.bounds[1]
        batch.targets[:, border:] = -100
        before = made(batch)
        batch.ids[:, border:] = (batch.ids[:, border:] + 7) % 400
        batch.shades[1] = 255 - batch.shades[1]
        assert torch.equal(made(batch), before)


@pytest.mark.parametrize("how", ["selective", "full"])
def test_computing_again_changes_no_gradient_and_keeps_less(corpus: Any, how: Any) -> None:
    """Activations that are not what they were would make gradients of another model."""
    made = learner()
    made.model.train()
    kept: dict[str, int] = {}
    found = {}
    batch = row(corpus, range(6), IMAGE)
    language = made.model.model.language_model
    for name in ("none", how):
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with packed(language), activations.arranged(language, name, False):
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                loss = made(batch)
            kept[name] = sum(sizes)
            found[name] = gradients(made, loss)
    check_equal(found[how], found["none"])
    assert kept[how] < 0.6 * kept["none"]
    assert not language.layers[0].gradient_checkpointing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_compiled_layers_compute_the_same(corpus: Any) -> None:
    """A GPU runs what the compiler made of the layers, and nobody compares it with the layers."""
    made = learner()
    made.model.train()
    language = made.model.model.language_model
    found = []
    for compiled in (False, True):
        torch._dynamo.reset()
        with packed(language), activations.arranged(language, "selective", compiled):
            for chosen in ((0, 1), (2, 3, 4), (5, 6)):
                loss = made(row(corpus, chosen, IMAGE))
                found.append((float(loss.detach()), gradients(made, loss)))
    for (loss, some), (again, same) in zip(found[:3], found[3:], strict=True):
        assert abs(loss - again) <= 1e-5 * loss
        for name, gradient in some.items():
            assert (same[name] - gradient).norm() <= 1e-4 * gradient.norm()


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, torch.Tensor):
                self.elements = max(self.elements, one.numel())
        return out


def test_the_loss_in_chunks_is_the_loss_and_never_holds_the_logits() -> None:
    """The logits of a 7B model's batch take more memory than its layers."""
    torch.manual_seed(0)
    hidden = torch.randn(300, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5000, 16, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 5000, (300,))
    wanted = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    slopes = torch.autograd.grad(3 * wanted, (hidden, weight))
    with Largest() as seen:
        found = linear_cross_entropy(hidden, weight, targets, chunk=32)
        same = torch.autograd.grad(3 * found, (hidden, weight))
    assert seen.elements <= max(32 * 5000, weight.numel())
    assert abs(float(found.detach()) - float(wanted.detach())) <= 1e-6 * float(wanted.detach())
    for a, b in zip(same, slopes, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm()
    with torch.no_grad():
        assert (
            abs(float(linear_cross_entropy(hidden, weight, targets)) - float(wanted.detach()))
            < 1e-2
        )


def test_a_frozen_tower_keeps_nothing(corpus: Any) -> None:
    """Activations of the tower for a gradient that is never taken cost gigabytes."""
    made = learner()
    batch = row(corpus, [0, 1], IMAGE)
    assert made.see(batch.shades).requires_grad
    made.model.model.multi_modal_projector.requires_grad_(False)
    assert not made.see(batch.shades).requires_grad
    trained = learner(tower=True)
    with packed(trained.model.model.language_model):
        found = gradients(trained, trained(batch))
    assert any("vision_tower" in name for name in found)


def test_a_batch_without_pictures_still_reaches_the_projector(corpus: Any) -> None:
    """A process whose projector has no gradient leaves the others waiting for it."""
    made = learner(alike=True)
    bare = next(n for n in range(len(corpus)) if corpus.pictures[n] < 0)
    with packed(made.model.model.language_model):
        for chosen in ([bare], []):
            found = gradients(made, made(row(corpus, chosen, IMAGE)))
            assert any("multi_modal_projector" in name for name in found)
            assert all(torch.isfinite(gradient).all() for gradient in found.values())


def test_what_is_said_is_what_transformers_say(corpus: Any) -> None:
    """Samples in the report that the model would not say."""
    made = learner()
    made.model.eval()
    begin, end = corpus.bounds[0], corpus.bounds[1]
    asked = int(corpus.learned[begin:end].argmax())
    batch = row(corpus, [0], IMAGE).first(asked)
    with packed(made.model.model.language_model), torch.no_grad():
        said = made(batch, say=8)
    pixels = pixels_of(batch)
    ids = torch.from_numpy(corpus.ids[begin : begin + asked].astype("int64"))[None]
    for _ in range(8):
        logits = made.model(input_ids=ids, pixel_values=pixels, use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    assert said.tolist() == ids[0, asked:].tolist()


def test_a_sample_says_what_was_asked(tmp_path: Path) -> None:
    """``plain`` asks nothing: the report showed the row's question as if the model had read it."""
    asked = []
    for template in ("v1", "plain"):
        corpus = tiny_corpus.corpus(tmp_path, 1, template=template)
        made = learner()
        with packed(made.model.model.language_model):
            _, [sample] = evaluate(
                made, corpus, np.array([0]), tiny_corpus.tokenizer(), IMAGE,
                plain=template == "plain",
            )  # fmt: skip
        asked.append(sample["question"])
    assert asked == ["Is there a bar? 0", ""]


def test_each_attends_as_under_a_block_mask() -> None:
    """The way for a GPU is chosen by comparison with this one: it must be right by itself."""
    torch.manual_seed(1)
    query, key, value = (torch.randn(40, heads, 8) for heads in (4, 2, 2))
    bounds = (0, 3, 4, 20, 40)
    mask = torch.zeros(40, 40, dtype=torch.bool)
    for begin, end in itertools.pairwise(bounds):
        mask[begin:end, begin:end] = torch.ones(end - begin, end - begin).tril().bool()
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query.transpose(0, 1),
        key.repeat_interleave(2, 1).transpose(0, 1),
        value.repeat_interleave(2, 1).transpose(0, 1),
        attn_mask=mask,
    ).transpose(0, 1)
    segments = Segments.of(bounds, torch.device("cpu"), longest=40)
    assert torch.allclose(attend(query, key, value, segments, None), wanted, atol=1e-6)


def test_no_gpu_no_variable_length_attention() -> None:
    """It would be called where it does not exist."""
    assert not works_varlen(torch.device("cpu"), torch.bfloat16, (4, 2, 8))
