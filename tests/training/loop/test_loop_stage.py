"""A stage that is killed, runs out of disk, meets numbers that are none, or has company."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tensorboard")

import torch
from safetensors.torch import load_file

import train_worker
from astrollava.errors import HashMismatch, InvalidRequest, ModelError, NotEnoughSpace
from astrollava_training.loop.forward import Learner
from astrollava_training.loop.saving import Keeper
from astrollava_training.loop.spread import World
from astrollava_training.loop.stage import WEIGHTS
from train_worker import losses, run

ALONE = World(0, 1, torch.device("cpu"))
SMALL = {"dtype": "bf16", "optimizer": "adamw-8bit", "checkpointing": "selective"}


class Killed(Exception):
    """Stands for whatever ends a process in the middle of a step."""


def broken_off(monkeypatch: pytest.MonkeyPatch, folder: Path, passes: int, **how: Any) -> None:
    """Run until a number of forward passes are done, then break off."""
    whole, count = Learner.forward, 0

    def forward(self: Learner, *given: Any, **named: Any) -> torch.Tensor:
        nonlocal count
        count += 1
        if count > passes:
            raise Killed
        return whole(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "forward", forward)
        with pytest.raises(Killed):
            run(folder, ALONE, **how)


@pytest.mark.parametrize(
    "how", [{}, SMALL, {"lora": 0.1, "optimizer": "factored"}], ids=["full", "8-bit", "lora"]
)
def test_what_is_broken_off_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    """A resumed run that differs cannot be compared with one that was not interrupted."""
    run(tmp_path / "a", ALONE, **how)
    for passes in (4, 11, 8):  # inside steps 2, 4 and, from the checkpoint of 2, 5
        broken_off(monkeypatch, tmp_path / "b", passes, **how)
    run(tmp_path / "b", ALONE, **how)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert [step for step, _ in losses(tmp_path / "a")] == list(range(1, 9))
    ends = [load_file(tmp_path / name / "stage2" / WEIGHTS) for name in "ab"]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not (tmp_path / "b" / "stage2" / "checkpoints").exists()


@pytest.mark.slow
def test_a_process_killed_at_any_step_goes_on_to_the_bit(tmp_path: Path) -> None:
    """SIGKILL asks nobody: files half written, a thread in the middle of a checkpoint."""
    settings = [SMALL | {"save_every": 1, "epochs": 4.0}]

    whole, killed = str(tmp_path / "a"), str(tmp_path / "b")
    jobs = [(whole, settings, None), *((killed, settings, steps) for steps in (2, 6, 11, None))]
    done = subprocess.run(
        [sys.executable, train_worker.__file__, json.dumps(jobs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    died = -signal.SIGKILL
    assert json.loads(done.stdout.splitlines()[-1]) == [0, died, died, died, 0], done.stderr
    assert losses(tmp_path / "a", "stage0") == losses(tmp_path / "b", "stage0")
    assert len(losses(tmp_path / "a", "stage0")) == 16


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Gradients that are averaged where they should be added, or sums that miss a process."""
    settings = [
        {"batch": 8},
        {"batch": 5, "lora": 0.0, "dtype": "fp32", "optimizer": "factored", "held_out": 2},
        SMALL | {"batch": 8, "trains": ["projector"]},
    ]
    settings[1]["checkpointing"] = "selective"
    given = [json.dumps(settings)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    two = [*torchrun, train_worker.__file__, str(tmp_path / "two"), *given]
    subprocess.run(two, env=environment, check=True, timeout=280)
    for number, one in enumerate(settings):
        run(tmp_path / "one", ALONE, f"stage{number}", **one)
    for number, tolerance in ((0, 1e-5), (1, 1e-4), (2, 2e-2)):
        one, two = (losses(tmp_path / name, f"stage{number}") for name in ("one", "two"))
        assert [step for step, _ in one] == [step for step, _ in two]
        for (_, a), (_, b) in zip(one, two, strict=True):
            assert abs(a - b) <= tolerance * a
        ends = [load_file(tmp_path / name / f"stage{number}" / WEIGHTS) for name in ("one", "two")]
        assert {n: w.shape for n, w in ends[0].items()} == {n: w.shape for n, w in ends[1].items()}


def keeper(folder: Path, said: list[str], **identity: Any) -> Keeper:
    return Keeper(folder, ALONE, {"lr": 1.0, **identity}, said.append)


def test_a_full_disk_costs_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    """A night's training lost, or its only good checkpoint, for want of a gigabyte."""
    said: list[str] = []
    keep = keeper(tmp_path, said)
    large = {"w": torch.ones(200_000)}
    keep.save(1, large)
    keep.settle(wait=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing fails as it does on a full disk: in the middle of a file, with an error of the system.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        large["w"] += 1
        keep.save(2, large)
        keep.settle(wait=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(said) == 1
    assert "no checkpoint of step 2" in said[0]
    found = keeper(tmp_path, said).load()
    assert found is not None
    assert found[0] == 1
    assert torch.equal(found[1]["w"], torch.ones(200_000))
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]
    keep.save(3, large)
    keep.settle(wait=True)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000003"]


def test_training_survives_a_full_disk_and_says_where_it_ended(tmp_path: Path) -> None:
    """The last step done and nowhere to put it: what was kept must bring it back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run(tmp_path / "a", ALONE)
    train_worker.tiny_corpus.corpus(tmp_path / "b", 24)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(NotEnoughSpace, match="last checkpoint"):
            run(tmp_path / "b", ALONE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert losses(tmp_path / "b") == losses(tmp_path / "a")
    incidents = (tmp_path / "b" / "stage2" / "incidents.jsonl").read_text()
    assert incidents.count("no checkpoint of step") == 3
    run(tmp_path / "b", ALONE)
    assert losses(tmp_path / "b") == losses(tmp_path / "a")


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_gone_on_from(tmp_path: Path) -> None:
    """Half of one recipe and half of another make a model that no file describes."""
    said: list[str] = []
    keep = keeper(tmp_path, said)
    keep.save(4, {"w": torch.ones(3)})
    keep.settle(wait=True)
    with pytest.raises(InvalidRequest, match="differs in lr"):
        keeper(tmp_path, said, lr=2.0).load()
    with pytest.raises(InvalidRequest, match="differs in clip"):
        keeper(tmp_path, said, clip=2.0).load()
    path = tmp_path / "step-0000004" / "rank-0.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(HashMismatch):
        keeper(tmp_path, said).load()


def test_what_is_written_is_what_was_there_when_it_was_asked_for(tmp_path: Path) -> None:
    """Training goes on while a checkpoint is written: it must not get into it."""
    keep = keeper(tmp_path, [])
    weights = {"w": torch.zeros(1_000_000), "c": torch.zeros(9, dtype=torch.float8_e4m3fn)}
    keep.save(1, weights)
    weights["w"] += 1
    keep.settle(wait=True)
    found = keep.load()
    assert found is not None
    assert torch.equal(found[1]["w"], torch.zeros(1_000_000))
    assert found[1]["c"].dtype == torch.float8_e4m3fn


def test_numbers_that_are_none_stop_the_run(tmp_path: Path) -> None:
    """Weights that are not numbers would be trained on, saved and exported."""
    with pytest.raises(ModelError, match="Expected finite"):
        run(tmp_path, ALONE, lr=1e30, clip=1e30, epochs=20.0)
    assert all(loss == loss for _, loss in losses(tmp_path))


def test_a_step_too_large_for_the_memory_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own error is a page about its allocator."""

    def forward(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")

    monkeypatch.setattr(Learner, "forward", forward)
    with pytest.raises(ModelError, match=r"step 1 .*3\.00 GiB.* Lower train\.rows"):
        run(tmp_path, ALONE)


def test_a_log_of_a_batch_system_shows_how_far_a_stage_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal no bar is drawn, and hours went by in silence."""
    run(tmp_path / "seldom", ALONE)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("stage2 8/8: loss ")
    assert "tokens/s, MFU" in line
    monkeypatch.setattr("astrollava_training.loop.journal._SAY_EVERY", 0.0)
    run(tmp_path / "often", ALONE)
    told = capsys.readouterr().err.splitlines()
    assert [one.split(":")[0] for one in told] == [f"stage2 {step}/8" for step in range(1, 9)]


def test_all_held_out_is_nothing_to_train_on(tmp_path: Path) -> None:
    """A loss of zero over no tokens would divide by them."""
    with pytest.raises(InvalidRequest, match="held out"):
        run(tmp_path, ALONE, held_out=24)


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    """Killed between its weights and its proof, a stage would begin anew and end elsewhere."""
    run(tmp_path, ALONE)
    before = (tmp_path / "stage2" / WEIGHTS).stat().st_mtime_ns
    run(tmp_path, ALONE)
    assert (tmp_path / "stage2" / WEIGHTS).stat().st_mtime_ns == before
    assert len(losses(tmp_path)) == 8
