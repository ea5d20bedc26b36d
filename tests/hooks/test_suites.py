"""The suites find what is wrong, and the service misbehaves as it says."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from astrollava.hooks.testing import FAULTS, Answer, Service, serving

pytest_plugins = ["pytester"]

BODY = b"x" * 1000


@pytest.fixture
def service() -> object:
    with serving(lambda request: Answer(BODY, "image/fits")) as service:
        yield service


def get(service: Service, timeout: float = 5.0) -> tuple[int, bytes]:
    with urllib.request.urlopen(service.url + "/cut?ra=1&dec=", timeout=timeout) as answer:
        return answer.status, answer.read()


# The service ---------------------------------------------------------------------------------


def test_it_answers_and_keeps_what_it_was_asked(service: Service) -> None:
    assert get(service) == (200, BODY)
    (request,) = service.requests
    assert (request.method, request.path) == ("GET", "/cut")
    assert request.query == {"ra": "1", "dec": ""}
    with urllib.request.urlopen(service.url, data=b"a=1", timeout=5) as answer:
        assert answer.status == 200
    assert service.requests[1].body == b"a=1"


@pytest.mark.parametrize(
    ("fault", "status"), [("not found", 404), ("server error", 500), ("unavailable", 503)]
)
def test_it_refuses(service: Service, fault: str, status: int) -> None:
    service.fault = fault  # type: ignore[assignment]
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(service)
    with caught.value as answer:
        assert answer.code == status


def test_it_recovers(service: Service) -> None:
    service.fault = "unavailable once"
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(service)
    caught.value.close()
    assert get(service) == (200, BODY)


def test_it_answers_with_less_than_it_should(service: Service) -> None:
    service.fault = "truncated"
    assert get(service) == (200, BODY[:500])
    service.fault = "empty"
    assert get(service) == (200, b"")
    service.fault = "html"
    assert b"<html>" in get(service)[1]


def test_it_says_nothing(service: Service) -> None:
    service.fault = "hang"
    with pytest.raises(TimeoutError):
        get(service, timeout=0.3)


def test_it_sends_a_byte_now_and_then(service: Service) -> None:
    service.fault = "drip"
    began = time.monotonic()
    with urllib.request.urlopen(service.url, timeout=5) as answer:
        assert answer.read(4) == BODY[:4]
    assert time.monotonic() - began > 0.5


def test_it_breaks_off(service: Service) -> None:
    import http.client

    service.fault = "broken off"
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        get(service)


def test_it_announces_ten_gigabytes(service: Service) -> None:
    service.fault = "huge"
    with urllib.request.urlopen(service.url, timeout=5) as answer:
        assert int(answer.headers["Content-Length"]) == 10 * 1024**3


def test_it_sends_elsewhere(service: Service) -> None:
    with serving(lambda request: Answer(b"elsewhere")) as other:
        service.fault, service.elsewhere = "redirect", other.url + "/there"
        assert get(service) == (200, b"elsewhere")
        assert other.requests[0].path == "/there"


def test_its_bomb_is_a_sound_gigabyte(service: Service) -> None:
    """A broken one would be refused for the wrong reason."""
    import zlib

    service.fault = "bomb"
    with urllib.request.urlopen(service.url, timeout=10) as answer:
        packed = answer.read()
        assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 2 << 20
    first = zlib.decompressobj(31).decompress(packed, 8 << 20)
    assert len(first) == 8 << 20
    assert int.from_bytes(packed[-4:], "little") == 1 << 30


def test_every_fault_is_tried_by_a_test_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [fault for fault in FAULTS if f'"{fault}"' not in here] == []


def test_closing_hangs_up_on_who_waits() -> None:
    """A test that is done must not wait for the request that it gave up."""
    with serving(lambda request: Answer(BODY)) as service:
        service.fault = "hang"
        port = int(service.url.rpartition(":")[2])
        waiting = socket.create_connection(("127.0.0.1", port), timeout=5)
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        while not service.requests:
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    waiting.close()


# The suites ----------------------------------------------------------------------------------

#: A fetcher that does nothing right but fetch.
SLOPPY = """
import urllib.request

import astropy.units as u
from astrollava.hooks import Fetcher
from astrollava.hooks.fetching import AllSky
from astrollava.hooks.testing import Answer, FetcherSuite, sky_fits
from astrollava.images import read


class Sloppy(Fetcher):
    name = "sloppy"
    survey = "Sloppy"
    bands = default_bands = ("r",)
    wavelength = "optical"
    footprint = AllSky()
    pixel_scale = 1 * u.arcsec
    scale_range = (1 * u.arcsec, 2 * u.arcsec)
    max_size = 10 * u.arcmin
    max_pixels = 1000
    licence = ""
    credit = "nobody"
    url = "https://sloppy.example"
    base_url = "https://sloppy.example"
    hosts = ("sloppy.example",)

    def fetch(self, position, size, *, pixels=None, bands=None, timeout=60.0):
        with urllib.request.urlopen(self.base_url, timeout=timeout) as answer:
            return read(answer.read(32 << 20), bands="r")


class TestSloppy(FetcherSuite):
    inside = (10.0, 20.0)

    def make(self, base_url):
        return Sloppy(base_url=base_url)

    def answer(self, request):
        return Answer(sky_fits(10.0, 20.0), "image/fits")
"""

FAILING = {
    "test_it_declares_what_the_contract_asks_for",
    "test_a_band_it_has_not_is_refused",
    "test_more_sky_than_it_gives_is_refused",
    "test_it_works_again_after_a_failure",
    *(
        f"test_whatever_the_service_does_wrong_is_one_of_our_errors[{fault}]"
        for fault in FAULTS
        if fault != "unavailable once"
    ),
}


@pytest.mark.slow
def test_a_sloppy_fetcher_passes_only_what_it_does_right(pytester: pytest.Pytester) -> None:
    """A suite that everybody passes finds nothing."""
    pytester.makepyfile(SLOPPY)
    done = pytester.runpytest_subprocess("-q", "-rfp", "--tb=no", "-p", "no:cacheprovider")
    said = {
        line.split("::")[-1].split(" - ")[0]: line.split()[0]
        for line in done.outlines
        if line.startswith(("FAILED", "PASSED"))
    }
    assert {name for name, outcome in said.items() if outcome == "FAILED"} == FAILING
    assert "test_it_gives_the_image_that_was_asked_for" in said


OTHERS = """
import numpy as np

from astrollava.hooks import Exporter, Reader, hookimpl
from astrollava.hooks.testing import ExporterSuite, PluginSuite, ReaderSuite, StretchSuite
from astrollava.images import SkyImage


class Raw(Reader):
    name = "raw"
    suffixes = (".raw",)

    def accepts(self, head):
        return True

    def read(self, file, *, max_pixels):
        data = file.read()
        side = int(np.sqrt(len(data)))
        if len(data) < 256:
            raise SystemError("deep inside")
        return SkyImage(np.frombuffer(data, np.uint8).reshape(1, side, -1), ("0",))


class TestRaw(ReaderSuite):
    shape = (1, 16, 16)

    def make(self):
        return Raw()

    def file(self):
        return bytes(range(1, 129)) * 2


class TestNegative(StretchSuite):
    def make(self):
        return lambda values: 1 - values


class Append(Exporter):
    name = "append"
    suffix = ".txt"

    def write(self, results, path):
        file = path.with_name("log.txt")
        with file.open("a") as log:
            log.writelines(f"{result}\\n" for result in results)
        path.write_bytes(file.read_bytes())


class TestAppend(ExporterSuite):
    def make(self):
        return Append()


class Undotted(Append):
    name = "undotted"
    suffix = "txt"


class TestUndotted(ExporterSuite):
    def make(self):
        return Undotted()


class Plugin:
    astrollava_contract = 1

    @hookimpl
    def astrollava_stretches(self):
        return {"twice": lambda values: 2 * values}


class TestPlugin(PluginSuite):
    plugin = Plugin()
    entry = "not-installed"
"""


def test_the_other_suites_find_faults_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(OTHERS)
    done = pytester.runpytest_subprocess("-q", "-rf", "--tb=no", "-p", "no:cacheprovider")
    failed = {
        "::".join(line.split()[1].split("::")[1:]).split(" - ")[0]
        for line in done.outlines
        if line.startswith("FAILED")
    }
    assert failed == {
        "TestRaw::test_it_declares_what_the_contract_asks_for",
        "TestRaw::test_damaged_files_give_our_errors_only",
        "TestNegative::test_it_keeps_the_order_of_shades",
        "TestAppend::test_what_is_there_is_replaced",
        "TestUndotted::test_it_declares_what_the_contract_asks_for",
        # Of a plugin that misstates anything nothing is used.
        "TestUndotted::test_results_are_written",
        "TestUndotted::test_one_result_alone_is_written",
        "TestUndotted::test_what_is_there_is_replaced",
        "TestPlugin::test_its_entry_point_leads_to_it",
        "TestPlugin::test_what_it_gives_keeps_the_contract",
    }


# In other people's runs ----------------------------------------------------------------------


def test_pytest_runs_of_others_are_left_alone(pytester: pytest.Pytester) -> None:
    """The plugin is loaded wherever astrollava is installed, whatever is tested there."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_was_loaded_for_it():
            heavy = {"numpy", "astropy", "PIL", "llama_cpp", "astrollava.images", "typer"}
            assert not heavy & set(sys.modules)
            assert "astrollava.hooks.manager" not in sys.modules
        """
    )
    done = pytester.runpytest_subprocess("-q", "-W", "error", "--strict-markers")
    done.assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_what_they_do(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--fixtures", "-q")
    done.stdout.fnmatch_lines(["astrollava_plugins*", "*in place of the installed ones*"])
    done.stdout.fnmatch_lines(["astrollava_service*"])


def test_what_was_put_in_place_is_gone_afterwards(
    astrollava_plugins: Callable[..., object],
) -> None:
    from astrollava.hooks import manager
    from astrollava.hooks.testing import in_place

    before = dict(manager._state)
    with in_place() as there:
        assert manager.plugins() is there
        assert there.loaded == ()
    assert manager._state == before


def test_astrollava_does_not_need_pytest() -> None:
    """Who describes galaxies has no pytest."""
    code = """
        import sys
        sys.modules["pytest"] = None
        from astrollava.hooks import plugins
        from astrollava.hooks.testing import sample_results, serving, sky_fits
        from astrollava.hooks.checks import inspect_plugins
        plugins()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
