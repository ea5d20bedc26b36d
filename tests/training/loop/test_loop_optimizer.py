"""AdamW in little memory: what is rounded, what it converges to, what a restart finds."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from astrollava_training.loop.optimizer import make_optimizer
from astrollava_training.loop.rounding import add_rounded, decode, encode, mix, stochastic


def seed(number: int) -> torch.Tensor:
    return torch.tensor(mix(number), dtype=torch.int32)


def test_rounding_is_right_on_average_and_never_further_than_the_neighbours() -> None:
    """Biased rounding is a force on all weights at every step."""
    torch.manual_seed(0)
    values = torch.randn(4000) * torch.logspace(-20, 20, 4000)
    rounds = torch.stack([stochastic(values, seed(n)).float() for n in range(400)])
    step = 2.0 ** (torch.floor(torch.log2(values.abs())) - 7)
    assert ((rounds - values).abs() < step).all()
    error = (rounds.mean(0) - values) / step
    # Of a chance p the standard error is at most half over the root of the draws: 0.025.
    assert error.abs().max() < 0.025 * 5
    assert abs(error.mean()) < 0.025 / 4000**0.5 * 5
    exact = torch.tensor([0.0, -0.0, 1.0, -2.5, 3.140625])
    assert torch.equal(stochastic(exact, seed(1)).float(), exact)


def test_draws_differ_by_place_and_seed_and_repeat() -> None:
    """The same draws at each step would round each weight the same way for ever."""
    value = torch.full((2000,), 1.001)
    first, again, other = (stochastic(value, seed(n)) for n in (1, 1, 2))
    assert torch.equal(first, again)
    share = (first != other).float().mean()
    up = (first.float() > 1.001).float().mean()
    chance = 0.001 / 2**-7
    assert abs(up - chance) < 0.04
    assert abs(share - 2 * chance * (1 - chance)) < 0.05
    assert mix(1, 2) != mix(2, 1)


def test_sums_of_many_small_gradients_do_not_stand_still() -> None:
    """Nearest rounding in bfloat16 adds 0.001 to 1 and gets 1, however often."""
    total = torch.ones(5000, dtype=torch.bfloat16)
    for number in range(64):
        total = add_rounded(total, torch.full_like(total, 0.001), seed(number))
    assert abs(float(total.float().mean()) - 1.064) < 0.003


@pytest.mark.parametrize("shape", [(1,), (255,), (256,), (3, 257), (0,)])
def test_eight_bits_keep_three_significant_ones(shape: tuple[int, ...]) -> None:
    """States that are off by more move the weights elsewhere."""
    torch.manual_seed(0)
    values = torch.randn(shape) * 1e-4
    found = decode(encode(values), values.shape)
    assert found.shape == values.shape
    assert ((found - values).abs() <= values.abs() / 16 + 1e-9).all()
    assert torch.equal(decode(encode(values * 0), values.shape), values * 0)


def parameters(dtype: torch.dtype) -> list[tuple[str, torch.nn.Parameter]]:
    torch.manual_seed(3)
    shapes = {"a": (7, 5), "b": (5,), "c": (3, 2, 2)}
    return [(n, torch.nn.Parameter(torch.randn(s).to(dtype))) for n, s in shapes.items()]


def loss_of(
    given: list[tuple[str, torch.nn.Parameter]], step: int, pull: float = 0.1
) -> torch.Tensor:
    draws = torch.Generator().manual_seed(step)
    total = torch.zeros(())
    for _, parameter in given:
        total = total + (parameter.float() * torch.randn(parameter.shape, generator=draws)).sum()
        total = total + pull * parameter.float().square().sum()
    return total


def make(given: Any, kind: Any, **change: Any) -> Any:
    how = {"weight_decay": 0.1, "rounding": "stochastic", "seed": 5} | change
    return make_optimizer(given, kind=kind, **how)


@pytest.mark.parametrize("accumulated", [1, 3])
def test_in_float32_it_is_adamw(accumulated: int) -> None:
    """Another AdamW than the paper's trains another model."""
    ours, theirs = parameters(torch.float32), parameters(torch.float32)
    matrices = [p for _, p in theirs if p.dim() > 1]
    vectors = [p for _, p in theirs if p.dim() == 1]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2,
    )
    optimizer = make(ours, "adamw")
    for step in range(5):
        optimizer.begin()
        reference.zero_grad()
        for part in range(accumulated):
            loss_of(ours, 10 * step + part).backward()
            loss_of(theirs, 10 * step + part).backward()
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in theirs], 1.0)
        assert optimizer.norm() == pytest.approx(float(norm), rel=1e-6)
        optimizer.step(1e-2, min(1.0, 1.0 / (float(norm) + 1e-6)))
        reference.step()
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_states_in_float32_under_weights_in_bfloat16_are_adamws() -> None:
    """The two ways to AdamW must be one; here rounding is the only difference."""
    small, large = parameters(torch.bfloat16), parameters(torch.bfloat16)
    wide = [(n, torch.nn.Parameter(p.detach().float())) for n, p in large]
    for given, kind in ((small, "adamw"), (wide, "adamw")):
        optimizer = make(given, kind)
        for step in range(20):
            optimizer.begin()
            loss_of(given, step, pull=0.0).backward()
            optimizer.step(1e-2, 1.0)
    for (_, a), (_, b) in zip(small, wide, strict=True):
        assert (a.detach().float() - b.detach()).abs().max() < 0.03


@pytest.mark.parametrize("kind", ["adamw-8bit", "factored"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_little_memory_goes_where_adamw_goes(kind: str, dtype: torch.dtype) -> None:
    """States of eight bits could drift, or blow a step up by a denominator rounded to zero."""
    torch.manual_seed(0)
    inputs = torch.randn(512, 32)
    wanted = torch.randn(32, 16)
    ends = {}
    for name in ("adamw", kind):
        torch.manual_seed(1)
        weight = torch.nn.Parameter((0.1 * torch.randn(16, 32)).to(dtype))
        optimizer = make([("w", weight)], name, weight_decay=0.0)
        for step in range(300):
            optimizer.begin()
            part = slice(64 * (step % 8), 64 * (step % 8 + 1))
            error = inputs[part] @ weight.float().T - inputs[part] @ wanted
            error.square().mean().backward()
            optimizer.step(2e-2 * (1 - step / 300), 1.0)
        ends[name] = float((inputs @ weight.detach().float().T - inputs @ wanted).square().mean())
    first = float((inputs @ wanted).square().mean())
    assert ends["adamw"] < 0.02 * first
    assert ends[kind] < 1.5 * ends["adamw"]


def test_small_steps_are_not_rounded_away() -> None:
    """At the paper's 2e-5, nearest rounding in bfloat16 moves hardly any weight at all."""
    moved = {}
    for rounding in ("stochastic", "nearest"):
        weight = torch.nn.Parameter(torch.full((64, 64), 0.02, dtype=torch.bfloat16))
        optimizer = make([("w", weight)], "adamw-8bit", rounding=rounding, weight_decay=0.0)
        for _ in range(50):
            optimizer.begin()
            weight.float().sum().backward()
            optimizer.step(2e-5, 1.0)
        moved[rounding] = 0.02 - float(weight.detach().float().mean())
    assert moved["stochastic"] == pytest.approx(50 * 2e-5, rel=0.05)
    assert abs(moved["nearest"]) < 2e-4


def test_a_rare_gradient_does_not_blow_a_step_up() -> None:
    """A second moment rounded to zero in a block with large ones would divide by epsilon."""
    weight = torch.nn.Parameter(torch.zeros(256))
    optimizer = make([("w", weight)], "adamw-8bit", weight_decay=0.0)
    for step in range(30):
        optimizer.begin()
        slopes = torch.full((256,), 1e3)
        slopes[7] = 1e-2 if step % 10 == 0 else 0.0
        before = weight.detach().clone()
        (weight * slopes).sum().backward()
        optimizer.step(1e-3, 1.0)
        assert (weight.detach() - before).abs().max() < 1e-3 * 8


@pytest.mark.parametrize("kind", ["adamw", "adamw-8bit", "factored"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_restart_goes_on_to_the_bit(kind: str, dtype: torch.dtype) -> None:
    """Something forgotten in a checkpoint shows as a bump in the loss that nobody explains."""
    ends = []
    for restarted in (False, True):
        given = parameters(dtype)
        optimizer = make(given, kind)
        for step in range(6):
            if restarted and step == 3:
                weights = [p.detach().clone() for _, p in given]
                state = {name: value.clone() for name, value in optimizer.state().items()}
                optimizer.close()
                given = [
                    (n, torch.nn.Parameter(w))
                    for (n, _), w in zip(given, weights, strict=True)
                ]  # fmt: skip
                optimizer = make(given, kind)
                optimizer.restore(state, 3)
            optimizer.begin()
            for part in range(2):
                loss_of(given, 10 * step + part).backward()
            optimizer.norm()
            optimizer.step(1e-2, 0.7)
        ends.append([p.detach().clone() for _, p in given])
    for a, b in zip(*ends, strict=True):
        assert torch.equal(a, b)


def test_a_parameter_without_a_gradient_stays() -> None:
    """An adapter that no batch has reached yet would decay, or end the run."""
    for kind in ("adamw", "factored"):
        given = parameters(torch.float32)
        still = given[0][1].detach().clone()
        optimizer = make(given, kind)
        optimizer.begin()
        given[1][1].sum().backward()
        assert optimizer.norm() == pytest.approx(5**0.5)
        optimizer.step(1e-2, 1.0)
        assert torch.equal(given[0][1], still)
        optimizer.close()
        given[1][1].sum().backward()
        assert given[1][1].grad is not None  # closed: gradients are anybody's again


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
@pytest.mark.parametrize("kind", ["adamw-8bit", "factored"])
def test_a_compiled_update_is_the_update(kind: str) -> None:
    """A GPU runs the compiled one only."""
    ends = []
    for compiled in (False, True):
        given = parameters(torch.bfloat16)
        optimizer = make(given, kind, compiled=compiled)
        for step in range(3):
            optimizer.begin()
            for part in range(2):
                loss_of(given, 10 * step + part).backward()
            optimizer.step(1e-2, 0.7)
        ends.append([p.detach().float() for _, p in given])
    for a, b in zip(*ends, strict=True):
        assert (a - b).abs().max() <= 0.02 * a.abs().max()
