"""llama.cpp must be found, checked and kept quiet; a crash of its AMX kernels must be avoided."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from astrollava.engine import Engine, _native, runtime
from astrollava.errors import EngineUnavailable, ModelLoadFailed


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_importing_the_engine_loads_neither_llama_cpp_nor_jinja2() -> None:
    done = run("import astrollava.engine, sys; print({'llama_cpp', 'jinja2'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr


def test_a_missing_library_is_named_with_what_to_install() -> None:
    done = run(
        "import sys; sys.modules['llama_cpp'] = None\n"
        "from astrollava.engine import runtime\n"
        "from astrollava.errors import EngineUnavailable\n"
        "try: runtime.load()\n"
        "except EngineUnavailable as error: print(error)\n"
    )
    assert "pip install" in done.stdout
    assert "/whl/cpu" in done.stdout


@pytest.mark.parametrize("version", ["0.3.35", "0.3.37", "0.4.0", "1.0", "0.3.350"])
def test_a_release_with_other_structures_is_refused(version: str) -> None:
    with pytest.raises(EngineUnavailable, match=version):
        runtime.check_version(version)


@pytest.mark.parametrize("version", ["0.3.36", "0.3.36+cu124", "0.3.36.post1"])
def test_builds_of_the_supported_release_are_taken(version: str) -> None:
    runtime.check_version(version)


def test_amx_is_kept_from_crashing_the_process() -> None:
    lib = runtime.load()
    with_amx = "CPU : AVX512 = 1 | AMX_INT8 = 1 | LLAMAFILE = 1"
    params, _ = _native.model_params(lib, n_gpu_layers=0, features=with_amx)
    assert not params.use_extra_bufts
    without = with_amx.replace("AMX_INT8 = 1", "AMX_INT8 = 0")
    params, _ = _native.model_params(lib, n_gpu_layers=0, features=without)
    assert params.use_extra_bufts


def test_offload_reaches_llama_cpp_and_no_offload_opens_no_device() -> None:
    lib = runtime.load()
    assert _native.model_params(lib, n_gpu_layers=7, features="")[0].n_gpu_layers == 7
    assert _native.model_params(lib, n_gpu_layers=7, features="")[0].devices is None
    params, devices = _native.model_params(lib, n_gpu_layers=0, features="")
    assert params.devices is not None
    assert list(devices) == [None]


def test_info_tells_what_doctor_shows() -> None:
    info = runtime.info()
    assert info.version.startswith("0.3.36")
    assert "CPU" in info.system_info
    assert info.amx == info.amx_guarded == runtime.has_amx(info.system_info)
    assert "CPU" in info.backends
    assert all(info.devices)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_threads_do_not_exceed_the_processors_allowed() -> None:
    done = run(
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from astrollava.engine import runtime; print(runtime.physical_cores())"
    )
    assert done.stdout.strip() == "1", done.stderr


def test_nothing_is_printed_by_a_load_or_a_failed_load(pair: Callable[..., tuple[Path, Path]]) -> None:  # fmt: skip  # noqa: E501
    text, mmproj = pair()
    done = run(
        "import sys; from astrollava.engine import Engine; import numpy as np\n"
        "from astrollava.errors import ModelLoadFailed\n"
        "with Engine(*sys.argv[1:], threads=1) as e:\n"
        "    image = e.encode_image(np.zeros((*e.image_size, 3), np.uint8))\n"
        "    list(e.complete('<__media__>a', [image]))\n"
        "try: Engine(sys.argv[2], sys.argv[1])\n"
        "except ModelLoadFailed: pass\n"
        "kept = Engine(*sys.argv[1:], threads=1)\n",
        text,
        mmproj,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_llama_cpp_logs_through_our_logger(
    pair: Callable[..., tuple[Path, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    text, mmproj = pair()
    with caplog.at_level(logging.DEBUG, "astrollava"), Engine(text, mmproj, threads=1):
        pass
    assert any("n_ctx_train" in record.message for record in caplog.records)
    assert {record.name for record in caplog.records} == {"astrollava"}
    assert max(record.levelno for record in caplog.records) < logging.WARNING
    caplog.clear()
    with pytest.raises(ModelLoadFailed):
        Engine(mmproj, mmproj)
    assert max(record.levelno for record in caplog.records) == logging.ERROR


def test_a_gpu_that_is_not_there_is_not_passed_over_in_silence(
    pair: Callable[..., tuple[Path, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    if runtime.info().gpu_offload:
        pytest.skip("this build has a GPU")
    with caplog.at_level(logging.WARNING, "astrollava"):
        Engine(*pair(), n_gpu_layers=-1, projector_on_gpu=True, threads=1).close()
    assert "a GPU was asked for" in caplog.text
