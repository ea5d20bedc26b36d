"""What is left of a conversion or quantization that something ends: nothing, sooner or later."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import command, environment, run
from plain_checkpoint import PlainLlava

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that takes a second or so, and no room."""
    model = PlainLlava(width=1024, inner=4096, layers=8, heads=8, dtype="F16")
    return model.save(tmp_path_factory.mktemp("ck") / "slow", sparse=True)


def _begin(checkpoint: Path, out: Path, kind: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("models", "convert", checkpoint, "-o", out, "--quantize", kind, "--threads", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


@contextlib.contextmanager
def _stopped(
    checkpoint: Path, out: Path, kind: str, there: Callable[[str], object]
) -> Iterator[subprocess.Popen[bytes]]:
    """Stop a conversion (SIGSTOP) while something is there, in a folder named after `out`.

    Who looks may be held up until it is over; then there is nothing there any more, and another is
    begun.
    """
    for number in range(20):
        name = f"{out.name}{number}"
        with _begin(checkpoint, out.with_name(name), kind) as running:
            while not there(name) and running.poll() is None:
                time.sleep(0.002)
            try:
                running.send_signal(signal.SIGSTOP)
                with contextlib.suppress(ChildProcessError):  # it has ended
                    os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if there(name):
                    yield running
                    return
                running.send_signal(signal.SIGCONT)
                _, said = running.communicate(timeout=60)
            finally:
                running.kill()
        assert out.with_name(name).is_dir(), said
        shutil.rmtree(out.with_name(name))
    raise AssertionError("it was never seen at work")


def _wait_for(found: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.002)


def _unfinished(folder: str, parent: Path, name: str) -> bool:
    """Say whether a file of such a name is in an unfinished folder.

    The one begun next removes what others left, perhaps while we look.
    """
    try:
        return any(parent.glob(f".{folder}.*.part/{name}"))
    except FileNotFoundError:
        return False


def _writing(
    checkpoint: Path, out: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Stop a conversion while it writes."""
    return _stopped(checkpoint, out, "f16", lambda name: _unfinished(name, out.parent, "*.gguf"))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """A batch system's time limit and a closed terminal left 18 GB in a hidden folder."""
    number = getattr(signal, name)
    with _writing(checkpoint, tmp_path / "out") as running:
        running.send_signal(number)
        running.send_signal(signal.SIGCONT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert b"Traceback" not in said
    assert not list(tmp_path.iterdir())


def _quantizers(parent: Path) -> Iterator[int]:
    """Yield the processes that quantize into a folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"_quantize_child" in words and os.fsencode(parent) in words:
            yield int(path.parent.name)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_what_a_killed_process_left_goes_with_the_next_one(
    checkpoint: Path, tmp_path: Path
) -> None:
    """No process can clean up after SIGKILL, and its quantizer went on without it."""

    def quantizing(name: str) -> bool:
        return _unfinished(name, tmp_path, ".*.part") and any(_quantizers(tmp_path))

    with _stopped(checkpoint, tmp_path / "out", "q4_k_m", quantizing) as running:
        for quantizer in _quantizers(tmp_path):
            # So that it cannot come to its end by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(quantizer, signal.SIGSTOP)
        running.kill()
        running.communicate(timeout=60)
    _wait_for(lambda: not list(_quantizers(tmp_path)))
    left = list(tmp_path.glob(".out*.part"))
    assert left
    (foreign := tmp_path / ".other.12345678.part").mkdir()

    small = PlainLlava().save(tmp_path / "small")
    with _writing(checkpoint, tmp_path / "beside"):
        done = run("models", "convert", small, "-o", tmp_path / "new")
        assert done.returncode == 0, done.stderr
        assert not any(folder.exists() for folder in left)
        # One at work and one that is not ours stay.
        assert list(tmp_path.glob(".beside*.part/*.gguf"))
        assert foreign.is_dir()
        assert all(path.suffix == ".gguf" for path in (tmp_path / "new").iterdir())
