"""The loop: a wrong schedule, average or frozen weight shows only in a slightly worse model."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from astrollava.errors import InvalidRequest, ModelError  # noqa: E402
from astrollava_training.config import Stage  # noqa: E402
from astrollava_training.train import Log, fit, schedule  # noqa: E402


@given(steps=st.integers(1, 3000), warmup=st.floats(0, 0.999))
def test_the_learning_rate_rises_to_one_and_falls_towards_zero(steps: int, warmup: float) -> None:
    factors = [schedule(step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(1.0)
    assert top == max(round(steps * warmup), 1) - 1
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert schedule(steps, steps, warmup) == pytest.approx(0) or top == steps - 1


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def batches() -> itertools.count[int]:
    return itertools.count()


def test_the_weights_become_the_average_of_their_course(tmp_path: Path) -> None:
    net, seen = line(), []

    def loss_of(step: int) -> torch.Tensor:
        seen.append(net.weight.detach().clone())
        return (net(torch.ones(1, 3)) - step).square().sum()

    stage = Stage(pictures=41, batch_size=2, learning_rate=0.1)
    fit("x", [net], stage, batches(), loss_of, Log(tmp_path), average=0.9)
    assert len(seen) == 20
    # The course after each step but the last is what the next loss saw.
    expected = seen[0].clone()
    for step, weight in enumerate(seen[1:]):
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * weight
    last_decay = 0.9 if 20 / 29 > 0.9 else 20 / 29
    last = (net.weight.detach() - last_decay * expected) / (1 - last_decay)
    # What is left to explain is one step of AdamW at a learning rate near zero.
    assert (last - seen[-1]).abs().max() < 0.1 * schedule(19, 20, stage.warmup) * 1.5
    assert not torch.allclose(net.weight, seen[-1])


def test_no_more_batches_are_taken_than_there_are_steps(tmp_path: Path) -> None:
    net, endless = line(), batches()
    fit("x", [net], Stage(30, batch_size=10), endless, lambda _: net.weight.sum(), Log(tmp_path))
    assert next(endless) == 3


def test_too_few_batches_are_an_error(tmp_path: Path) -> None:
    """A stage cut short would pass for a finished one."""
    net = line()
    with pytest.raises(InvalidRequest, match=r"stage x has 2 batches\. Expected 3"):
        fit(
            "x", [net], Stage(30, batch_size=10), range(2), lambda _: net.weight.sum(),
            Log(tmp_path),
        )  # fmt: skip


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(
    bad: float, tmp_path: Path
) -> None:
    net = line()
    course = [net.weight.detach().clone()]

    def loss_of(step: int) -> torch.Tensor:
        course.append(net.weight.detach().clone())
        return net.weight.sum() * (bad if step == 2 else 1.0)

    with pytest.raises(ModelError, match=r"stage words: the loss is .* at step 2.*\[words\]"):
        fit("words", [net], Stage(50, batch_size=10), batches(), loss_of, Log(tmp_path))
    assert torch.equal(net.weight, course[-1])
    assert torch.isfinite(net.weight).all()


def test_a_finite_loss_with_an_infinite_gradient_stops_too(tmp_path: Path) -> None:
    net = line()
    nn.init.zeros_(net.weight)
    with pytest.raises(ModelError, match="its gradient inf"):
        fit(
            "x", [net], Stage(20, batch_size=10), batches(), lambda _: net.weight.sqrt().sum(),
            Log(tmp_path),
        )  # fmt: skip
    assert torch.equal(net.weight, torch.zeros_like(net.weight))


def test_what_is_frozen_or_not_named_stays_and_only_matrices_decay(tmp_path: Path) -> None:
    net, other, frozen = line(), line(), line()
    frozen.requires_grad_(False)
    before = {id(m): (m.weight.detach().clone(), m.bias.detach().clone()) for m in (net, frozen)}

    def loss_of(_: int) -> torch.Tensor:
        # No gradient for net: what moves it is decay alone.
        total: torch.Tensor = (
            0.0 * (net.weight.sum() + net.bias.sum())
            + frozen(other(torch.ones(1, 3)) @ torch.ones(2, 3)).sum()
        )
        return total

    stage = Stage(50, batch_size=10, learning_rate=0.1, weight_decay=0.5)
    untouched = other.weight.detach().clone()
    fit("x", [net, frozen], stage, batches(), loss_of, Log(tmp_path))
    assert torch.equal(frozen.weight, before[id(frozen)][0])
    assert torch.equal(other.weight, untouched)
    assert torch.equal(net.bias, before[id(net)][1])
    assert (net.weight.abs() < before[id(net)][0].abs()).all()


class Layered(nn.Module):
    """A matrix inside a transformer by its name, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 4)])
        self.head = nn.Linear(4, 4)


def test_matrices_inside_transformers_move_in_all_directions_alike(tmp_path: Path) -> None:
    """That is what Muon is for: AdamW alone leaves the tower half trained in the same time."""
    net = Layered()
    steep = torch.diag(torch.tensor([100.0, 10.0, 1.0, 0.1]))
    before = {name: value.detach().clone() for name, value in net.named_parameters()}

    def loss_of(_: int) -> torch.Tensor:
        inside, outside = net.layers[0], net.head
        total: torch.Tensor = (steep * (inside.weight + outside.weight)).sum()
        return total + inside.bias.sum() + outside.bias.sum()

    stage = Stage(pictures=2, batch_size=1, learning_rate=0.01, warmup=0.9)
    fit("x", [net], stage, batches(), loss_of, Log(tmp_path), average=0.0)
    moved = {name: value.detach() - before[name] for name, value in net.named_parameters()}
    strength = torch.linalg.svdvals(moved["layers.0.weight"])
    assert strength[-1] > 0.3 * strength[0]
    assert all(change.abs().max() > 0 for change in moved.values())


def test_the_log_is_json_and_ends_with_the_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = line()
    fit("x", [net], Stage(60, batch_size=1), batches(), lambda _: net.weight.sum(), Log(tmp_path))
    lines = [json.loads(one) for one in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(one["stage"], one["step"], one["steps"]) for one in lines] == [
        ("x", 50, 60),
        ("x", 60, 60),
    ]
    assert lines[-1]["seconds_left"] == 0
    assert "step 60" in capsys.readouterr().out
