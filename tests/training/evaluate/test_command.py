"""The command line of evaluation, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from astrollava_training.cli import main
from galaxy10_files import png, write_h5, write_parquet

pytest.importorskip("llama_cpp")


def test_evaluate_and_compare_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    write_h5(tmp_path / "Galaxy10_DECals.h5", 120, side=64)
    asked = ["evaluate", "embedded", "--data", str(tmp_path / "Galaxy10_DECals.h5")]
    common = ["--limit", "6", "--resamples", "20", "--no-similarity"]
    assert main([*asked, *common, "-o", str(tmp_path / "a")]) == 0
    out, told = capsys.readouterr()
    assert "# astrollava-embedded-v0 on test of galaxy10-decals" in out
    assert "6 pictures of the split 'test' of galaxy10-decals, by default: --split" in told
    assert str(tmp_path / "a" / "report.html") in out
    rule = ["--rule", "corrected", "--seed", "3"]
    assert main([*asked, *common, *rule, "--split", "test", "-o", str(tmp_path / "b")]) == 0
    assert "6 pictures of the split 'test' of galaxy10-decals\n" in capsys.readouterr().err
    plain = json.loads((tmp_path / "b" / "report.json").read_text("utf-8"))
    assert (plain["about"]["rule"], plain["about"]["seed"]) == ("corrected", 3)
    assert plain["about"]["pictures"] == 6
    # No votes: no questions were asked; the classes say what is true.
    assert not plain["questions"]
    assert plain["statements"]["model"]
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path)]) == 0
    assert "exact McNemar test" in capsys.readouterr().out
    assert (tmp_path / "compare.json").is_file()


def test_fits_with_labels_get_a_table_of_views(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("decals_a.fits", "barred_spiral"), ("decals_b.fits", "merging")]
    table = tmp_path / "labels.csv"
    lines = [f"{shared_data / 'fits' / name},{label},test\n" for name, label in rows]
    table.write_text("image,label,split\n" + "".join(lines))
    common = ["--data", str(table), "--resamples", "20", "--no-similarity"]
    assert main(["evaluate", "embedded", *common, "-o", str(tmp_path / "out")]) == 0
    plain = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert list(plain["views"]) == [
        "default", "linear", "sqrt", "log", "asinh", "minmax", "jpeg"
    ]  # fmt: skip
    assert plain["views"]["default"]["change"]["value"] == 0.0
    assert plain["views"]["jpeg"]["n"] == 2
    assert "shown otherwise" in capsys.readouterr().out
    assert main(["evaluate", "embedded", *common, "--no-views"]) == 0
    assert "shown otherwise" not in capsys.readouterr().out


def test_parquet_folders_and_the_papers_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "test-00000-of-00001.parquet", 10)
    common = ["--resamples", "20", "--limit", "4"]
    data = str(tmp_path / "test-00000-of-00001.parquet")
    if similarity_installed():
        assert main(["evaluate", "embedded", "--data", data, *common, "--similarity"]) == 0
        assert "wins it blind" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "own" / "test" / name).mkdir(parents=True)
        for i in range(3):
            rgb = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
            (tmp_path / "own" / "test" / name / f"{i}.png").write_bytes(png(rgb))
    assert main(["evaluate", "embedded", "--data", str(tmp_path / "own"), *common]) == 0
    out = capsys.readouterr().out
    assert "## Labels" in out
    # Classes of one's own have no published texts and say nothing about bars.
    assert "MiniLM" not in out
    assert "## Features" not in out


def similarity_installed() -> bool:
    from astrollava_training.evaluate.similarity import is_installed

    return is_installed()


def test_what_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "embedded", "--data", str(tmp_path / "none.h5")]) == 2
    assert "there are no data at" in capsys.readouterr().err
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "holds no report" in capsys.readouterr().err


def test_every_evaluation_in_the_documents_names_its_data() -> None:
    """One did not, and fails wherever no votes.csv lies."""
    root = Path(__file__).parents[3]
    lines = [
        line
        for page in (root / "README.md", *(root / "docs").glob("*.md"))
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("$ astrollava-train evaluate")
    ]
    assert len(lines) >= 4
    assert all(" --data " in line for line in lines), lines
