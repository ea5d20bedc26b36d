"""What is shown of a run: the report, its plots, counts of operations, the command ``bench``."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tensorboard")

import torch
from torch.utils.flop_counter import FlopCounterMode

import tiny_corpus
from astrollava_training.cli import main
from astrollava_training.dataset.batches import row
from astrollava_training.loop.attention import packed
from astrollava_training.loop.forward import Learner
from astrollava_training.loop.journal import Journal
from astrollava_training.loop.lines import read_lines
from astrollava_training.loop.pace import Energy, Work, peak_operations
from astrollava_training.loop.plots import Series, plot, smoothed
from astrollava_training.loop.report import write_report
from astrollava_training.loop.spread import World
from chromium import Browser
from train_worker import losses, run

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of both stages, the first with words of markup in its data."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, ALONE, "stage1", trains=["projector"], held_out=3)
    run(folder, ALONE, "stage2", held_out=3)
    proof = {"frozen": {"tower": "ab" * 32}, "trained": {"projector": ["cd" * 32, "ef" * 32]}}
    (folder / "stage2" / "proof.json").write_text(json.dumps(proof))
    path = folder / "stage2" / "evaluations.jsonl"
    path.write_text(path.read_text().replace("Is there a bar?", "<script>1</script>&"))
    write_report(folder, "a <b>run</b>")
    return folder


def test_the_report_says_what_was_done_and_loads_nothing(trained: Path) -> None:
    """Words of a data set or a model must not become markup of the page that shows them."""
    page = (trained / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;1&lt;/script&gt;&amp;" in page
    assert "a &lt;b&gt;run&lt;/b&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!data:image/png)""", page)
    assert "default-src 'none'" in page
    for words in ("frozen, unchanged", "ab" * 32, "→", "7 of 7", "held out", "not measured"):
        assert words in page, words
    assert f"{losses(trained)[0][1]:.3f} at first" in page
    # Which loss, and that nothing is rounded where weights are in fp32, were left to guess.
    assert ">training loss<" in page
    assert "over the last 1 step;" in page
    assert "fp32, adamw, checkpointing none" in page


def test_long_texts_are_shown_by_their_beginning(trained: Path, tmp_path: Path) -> None:
    """An answer of a thousand words at every evaluation hid what comes below it."""
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "stage2" / "evaluations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["samples"][0]["said"] = "galaxy " * 1000
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(tmp_path / "run").read_text()
    assert page.count("galaxy ") < len(lines) * 90
    assert "galax …<" in page


@pytest.mark.browser
def test_the_report_is_drawn(trained: Path, tmp_path: Path) -> None:
    """A page that is well written and shows nothing, or wider than the window."""
    with Browser(tmp_path) as browser:
        browser.open(trained / "report.html")
        for width in (390, 1200):
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=900, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('svg').length") == 12
        assert browser.run("[...document.images].every(i => i.naturalWidth > 0)")
        assert browser.run("document.images.length") >= 2
        # Lines are drawn inside their plots, and dots where the held-out losses are.
        assert browser.run(
            "[...document.querySelectorAll('svg path')].every(p => { const b = p.getBBox();"
            " return b.x >= 0 && b.y >= 0 && b.x + b.width <= 460 && b.y + b.height <= 230; })"
        )
        assert browser.run("document.querySelectorAll('svg')[0].querySelectorAll('circle').length")


def test_a_report_of_nothing_is_a_page(tmp_path: Path) -> None:
    """A run that is looked at before its first step is no error."""
    assert "Nothing has been trained" in write_report(tmp_path).read_text()


@given(
    y=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=50),
    style=st.sampled_from(["line", "faint", "dots"]),
    zero=st.booleans(),
)
def test_whatever_the_numbers_a_plot_is_well_formed(y: list[float], style: str, zero: bool) -> None:
    """A loss of infinity, or one that never changes, must not break the page."""
    drawn = plot("a & b", [Series("<l>", range(len(y)), y, style)], unit="<u>", zero=zero)
    if drawn:
        root = ET.fromstring(drawn)
        for path in root.iter("path"):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", path.get("d") or "")]
            assert all(0 <= n <= 460 for n in numbers)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60))
def test_smoothing_stays_within_what_it_smooths(values: list[float]) -> None:
    """A smoothed loss below every loss would be a lie."""
    found = smoothed(values)
    assert len(found) == len(values)
    assert min(values) - 1e-6 <= min(found)
    assert max(found) <= max(values) + 1e-6


def test_lines_of_steps_that_are_done_again_are_taken_out(tmp_path: Path) -> None:
    """A killed process leaves steps after its checkpoint, and half a line: both would stay."""
    numbers = {"loss": 1.0, "tokens_per_s": 1.0, "mfu": 0.1, "memory": 1.0, "joules": None}
    (tmp_path / "steps.jsonl").write_text(
        "".join(json.dumps({"step": n, **numbers}) + "\n" for n in range(1, 6)) + '{"step": 6, "lo'
    )
    journal = Journal(tmp_path, steps=9, begun=3, active=True)
    journal.step(4, numbers)
    journal.close()
    lines = (tmp_path / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_ends_no_journal(tmp_path: Path) -> None:
    """TensorBoard writes in a thread, whose error comes up at a later call: in mid training."""
    numbers = {"loss": 1.0, "tokens_per_s": 1.0, "mfu": 0.1, "memory": 1.0, "joules": None}
    journal = Journal(tmp_path, steps=9, begun=0, active=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        journal.step(1, numbers)
        journal._show("flush")
        for step in range(2, 6):
            journal.step(step, numbers)
            journal._show("flush")
            journal.evaluation(step, 1.0, [])
            journal.report()
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not read_lines(tmp_path / "steps.jsonl")  # all that fits is half a line


@pytest.mark.parametrize("trains", [("projector",), ("projector", "language")])
def test_operations_are_those_that_torch_counts(tmp_path: Path, trains: tuple[str, ...]) -> None:
    """MFU of operations that nobody does is any number one likes."""
    net = tiny_corpus.model(tower="siglip")
    net.requires_grad_(False)
    net.model.multi_modal_projector.requires_grad_("projector" in trains)
    net.model.language_model.requires_grad_("language" in trains)
    net.lm_head.requires_grad_("language" in trains)
    corpus = tiny_corpus.corpus(tmp_path, 3)
    pictures = tiny_corpus.PICTURES
    made = Learner(net, mean=pictures.mean, std=pictures.std, longest=512)
    batch = row(corpus, [0, 1, 2], pictures.token)
    with packed(net.model.language_model), FlopCounterMode(display=False) as counter:
        made(batch).backward()
    work = Work.of(net, pictures.tokens)
    learned = int((batch.targets >= 0).sum())
    counted = counter.get_total_flops()
    # Without attention, which torch counts over whole squares and not on every device.
    ours = work.each_token * batch.tokens + work.each_learned * learned
    seen = net.config.vision_config
    across = 4.0 * 16**2 * seen.hidden_size * seen.num_hidden_layers
    ours += (work.each_picture - across) * len(batch.shades)
    linear = sum(
        value
        for name, value in counter.get_flop_counts()["Global"].items()
        if "attention" not in str(name)
    )
    assert 0 < linear <= counted
    assert ours == pytest.approx(linear, rel=0.02)


def test_a_cpu_has_a_measured_peak_and_no_energy() -> None:
    """A made-up number would be as good as the measured one to whoever reads the report."""
    peak, where = peak_operations(torch.device("cpu"), torch.float32)
    assert peak > 1e9
    assert "measured" in where
    assert Energy(torch.device("cpu")).joules() is None


def test_energy_is_read_as_nvml_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joules a thousand times too many, or those of another GPU: here is a library to ask."""
    source = tmp_path / "nvml.c"
    source.write_text(
        "#include <string.h>\n"
        "int nvmlInit_v2(void) { return 0; }\n"
        "int nvmlDeviceGetHandleByUUID(const char *id, void **h)\n"
        '{ *h = (void *)1; return strcmp(id, "GPU-abc") ? 2 : 0; }\n'
        "int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj)\n"
        "{ static unsigned long long used = 1ULL << 40; *mj = used; used += 2500;"
        " return h != (void *)1; }\n"
    )
    library = tmp_path / "nvml.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")

    class About:
        uuid = "abc"

    def properties(_: Any) -> type[About]:
        return About

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    energy = Energy(torch.device("cuda", 0), str(library))
    assert energy.joules() == 2.5
    assert energy.joules() == 5.0
    assert Energy(torch.device("cuda", 0), str(tmp_path / "none.so")).joules() is None
    About.uuid = "other"
    assert Energy(torch.device("cuda", 0), str(library)).joules() is None


def test_bench_measures_and_predicts(
    capsys: pytest.CaptureFixture[str], repository: Path, tmp_path: Path
) -> None:
    """A command that only runs where a GPU is would be found broken there, by the hour."""
    recipe = tmp_path / "tiny.toml"
    tower, language = tmp_path / "tower", tmp_path / "language"
    whole = tiny_corpus.model()
    whole.config.vision_config.save_pretrained(tower)
    whole.config.text_config.save_pretrained(language)
    recipe.write_text(
        f'kind = "two-stage"\nname = "t"\n[model]\ntower = "{tower}"\nlanguage = "{language}"\n'
        '[data]\nlength = 256\n[stage1]\ndata = ["a.json"]\ntemplate = "plain"\n'
        'trains = ["projector"]\nlr = 1e-3\nbatch = 4\n[train]\ndtype = "fp32"\n'
        'optimizer = "adamw"\nrows = 2\n'
    )
    given = ["bench", str(recipe), "--steps", "2", "--price", "3", "--device", "cpu"]
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stage"] == 1
    assert found["price"] == pytest.approx(3 * found["hours"])
    assert found["watts"] is None
    assert found["tokens_per_s"] > 0
    assert main([*given, "--layers", "1"]) == 0
    assert "29,783 conversations (fewer layers were measured)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^2$"):
        main([*given, "--layers", "0"])
    for name in ("embedded", "tower"):
        path = repository / "training" / "astrollava_training" / "recipes" / f"{name}.toml"
        assert main(["bench", str(path)]) == 2


def test_every_recipe_that_comes_along_has_a_shape(repository: Path) -> None:
    """A recipe that bench cannot measure would say so only on the machine rented for it."""
    from astrollava_training.kinds import load_any
    from astrollava_training.loop.shapes import random_model, shape
    from astrollava_training.recipe import LlavaRecipe

    found = {}
    for path in (repository / "training" / "astrollava_training" / "recipes").glob("*.toml"):
        recipe = load_any(path)
        if isinstance(recipe, LlavaRecipe):
            model, _ = random_model(recipe, shape(recipe), torch.device("meta"))
            found[path.stem] = sum(p.numel() for p in model.parameters()) / 1e9
    assert found["astrollava-7b"] == pytest.approx(7.06, abs=0.01)  # llava-1.5-7b's own
    assert 0.4 < found["astrollava-small"] < 0.7
    assert {"ablation-no-stage-1", "astrollava-7b-lora", "encoder-swap"} <= found.keys()
