"""How fast a stage trains on a CPU, beside the Trainer of transformers and without packing.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_training.py [--steps 4] [--rounds 3]

A tiny LLaVA with LLaVA-1.5's 576 tokens a picture learns from conversations as long as those of
AstroLLaVA's second stage are assumed to be, the same ones in the same order, in float32. The
Trainer is given tokens and normalised pictures that are ready in memory; it pads each batch to its
longest. The three take turns. First their losses are compared: they are the same training.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from astrollava_training.dataset.corpus import Corpus
from astrollava_training.dataset.packing import Schedule, pack, pad
from astrollava_training.llava.assemble import Pictures
from astrollava_training.loop.bench import imagined
from astrollava_training.loop.spread import World
from astrollava_training.loop.steps import Steps
from astrollava_training.recipe import Stage, Train
from astrollava_training.train import schedule
from benching import Report

LENGTH, BATCH, RATE, WORDS, SIDE, PATCH = 2048, 8, 1e-3, 4000, 336, 14
TOKENS = (SIDE // PATCH) ** 2
PICTURES = Pictures(
    size=SIDE, rule="pad", background=(0, 0, 0), mean=(0.5,) * 3, std=(0.5,) * 3,
    tokens=TOKENS, token=WORDS, ids=(WORDS,) * TOKENS,
)  # fmt: skip


def model() -> Any:
    """Make the tiny LLaVA; its tower is frozen."""
    torch.manual_seed(0)
    tower = SiglipVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=PATCH, vision_use_head=False,
    )  # fmt: skip
    language = LlamaConfig(
        vocab_size=WORDS + 1, hidden_size=192, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=LENGTH,
    )  # fmt: skip
    net: Any = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower, text_config=language, image_token_index=WORDS,
            image_seq_length=TOKENS, vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        )
    )  # fmt: skip
    net.model.vision_tower.requires_grad_(False)
    return net


def ours(corpus: Corpus, steps: int, *, packed: bool) -> tuple[float, list[float]]:
    """Train with the loop of this project; return the seconds and the losses."""
    stage = Stage(("imagined.json",), "v1", ("projector", "language"), lr=RATE, batch=BATCH)
    # The Trainer computes a batch at once; so do these.
    rows = BATCH if not packed else 6
    how = Train(dtype="fp32", optimizer="adamw", rows=rows, checkpointing="none", compile=False)
    made = Steps(
        model(), corpus, np.arange(steps * BATCH), stage, how, World(0, 1, torch.device("cpu")),
        pictures=PICTURES, length=LENGTH, pack_rows=packed, seed=0,
    )  # fmt: skip
    began = time.perf_counter()
    losses = [numbers.loss for _, numbers in made.run()]
    seconds = time.perf_counter() - began
    made.close()
    return seconds, losses


class _Ready(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Conversations in the order in which our loop takes them, all made before the clock runs."""

    def __init__(self, corpus: Corpus, steps: int) -> None:
        plan = Schedule(steps * BATCH, BATCH, 1.0, 0)
        self._made = []
        for number in np.concatenate([plan.at(step) for step in range(steps)]):
            here = slice(corpus.bounds[number], corpus.bounds[number + 1])
            ids = torch.from_numpy(corpus.ids[here].astype(np.int64))
            labels = torch.where(torch.from_numpy(corpus.learned[here]), ids, -100)
            shades = torch.from_numpy(corpus.shades[corpus.pictures[number]])
            pixels = shades.permute(2, 0, 1).float() / 127.5 - 1.0
            self._made.append({"input_ids": ids, "labels": labels, "pixel_values": pixels})

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return self._made[number]


class _Trainer(transformers.Trainer):  # type: ignore[misc]
    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def _padded(samples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    def filled(name: str, value: int) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            [sample[name] for sample in samples], batch_first=True, padding_value=value
        )

    labels = filled("labels", -100)
    lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
    return {
        "input_ids": filled("input_ids", 0),
        "labels": labels,
        "attention_mask": (torch.arange(labels.shape[1]) < lengths[:, None]).long(),
        "pixel_values": torch.stack([sample["pixel_values"] for sample in samples]),
    }


def theirs(corpus: Corpus, steps: int, folder: Path) -> tuple[float, list[float]]:
    """Train with transformers' Trainer; return the seconds and the losses."""
    net = model()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: schedule(n, steps, 0.03))
    trainer = _Trainer(
        model=net,
        args=transformers.TrainingArguments(
            str(folder), per_device_train_batch_size=BATCH, num_train_epochs=1, logging_steps=1,
            save_strategy="no", report_to=[], max_grad_norm=1.0, use_cpu=True, disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=_Ready(corpus, steps),
        data_collator=_padded,
        optimizers=(optimizer, rates),
    )  # fmt: skip
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    return seconds, [float(x["loss"]) for x in trainer.state.log_history if "loss" in x]


def padding(number: int, tokens: int) -> tuple[float, float]:
    """Return the share of padding without packing and with it, over 60 steps of 128."""
    corpus = imagined(
        number, 60 * 128, length=LENGTH, image=(WORDS,) * tokens, size=2, words=WORDS
    )  # fmt: skip
    plan = Schedule(len(corpus), 128, 1.0, 0)
    room = filled = rows = 0
    for step in range(plan.steps):
        lengths = corpus.lengths[plan.at(step)]
        room += sum(len(g) * int(lengths[g].max()) for g in pad(lengths, 4) if g)
        filled += int(lengths.sum())
        # Packed, a row ends with its last conversation, at the next multiple of 128 on a GPU.
        rows += sum(-(-int(lengths[g].sum()) // 128) * 128 for g in pack(lengths, 4 * LENGTH))
    return 1 - filled / room, 1 - filled / rows


def main() -> int:
    """Run the benchmark; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    corpus = imagined(
        2, given.steps * BATCH, length=LENGTH, image=PICTURES.ids, size=SIDE, words=WORDS
    )  # fmt: skip
    times: dict[str, list[float]] = {"packed": [], "padded": [], "Trainer": []}
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds):
            found = {
                "packed": ours(corpus, given.steps, packed=True),
                "padded": ours(corpus, given.steps, packed=False),
                "Trainer": theirs(corpus, given.steps, Path(folder)),
            }
            for name, (seconds, losses) in found.items():
                times[name].append(seconds)
                # The Trainer logs four digits.
                worst = max(
                    abs(a - b) for a, b in zip(losses, found["Trainer"][1], strict=True)
                )  # fmt: skip
                assert worst < 2e-3, (name, losses, found["Trainer"][1])
            print(
                f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in times.items())
            )
    best = {name: statistics.median(some) for name, some in times.items()}
    tokens = int(corpus.lengths.sum())
    report.title(f"{given.steps} steps of {BATCH} conversations, {tokens:,} tokens, medians")
    for name, seconds in best.items():
        report.row(f"{name}", f"{tokens / seconds:,.0f} tokens/s")
    gain = best["Trainer"] / best["packed"]
    report.row("packed beside the Trainer", f"{gain:.2f}x", promise=">= 1x", kept=gain >= 1)
    report.row("packed beside padded", f"{best['padded'] / best['packed']:.2f}x")
    report.title("Padding in what is computed, 4 rows of at most 2,048 tokens")
    for number, count in ((1, TOKENS), (2, TOKENS), (2, TOKENS // 4)):
        without, packed = padding(number, count)
        report.row(f"stage {number}, {count} tokens a picture, padded", f"{without:.1%}")
        report.row(f"stage {number}, {count} tokens a picture, packed", f"{packed:.1%}")
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main())
