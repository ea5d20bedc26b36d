"""``astrollava models quantize``: a pair goes in, a smaller pair comes out."""

from __future__ import annotations

from pathlib import Path

from command_line import run
from tiny_pair import TinyPair, write_pair


def test_a_pair_is_made_smaller_by_one_command(tmp_path: Path) -> None:
    """The two paths alone are written, so that a script can go on with them."""
    write_pair(tmp_path / "tiny", TinyPair(tower_width=64))
    done = run("models", "quantize", tmp_path / "tiny", "q8_0", "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == ["tiny-q8_0-text.gguf", "tiny-q8_0-mmproj.gguf"]
    assert paths[0].stat().st_size < (tmp_path / "tiny" / "text.gguf").stat().st_size / 3

    paired = run("models", "quantize", tmp_path / "tiny", "q8_0", "--mmproj-quantize", "f16",
                 "-o", tmp_path / "mixed")  # fmt: skip
    assert [Path(line).name for line in paired.stdout.splitlines()] == [
        "tiny-q8_0-text.gguf", "tiny-f16-mmproj.gguf"
    ]  # fmt: skip

    refused = run("models", "quantize", tmp_path / "out", "q4_0", "-o", tmp_path / "again")
    assert refused.returncode == 2
    assert "--requantize" in refused.stderr
    assert not (tmp_path / "again").exists()
