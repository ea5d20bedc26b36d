"""What a plugin gives is looked at when it loads: what misstates itself is broken, and says how."""

from __future__ import annotations

import pytest

from astrollava.errors import UnknownFetcher
from plugin_files import Shelf

SOUND = """
    @hookimpl
    def astrollava_stretches():
        return {"square": lambda x: x ** 2}
"""

FETCHER = """
    import astropy.units as u

    from astrollava.hooks import Fetcher
    from astrollava.hooks.fetching import AllSky

    class Mine(Fetcher):
        name = "mine"
        survey = "Mine"
        bands = default_bands = ("g",)
        wavelength = "optical"
        footprint = AllSky()
        pixel_scale = 1 * u.arcsec
        scale_range = (0.5 * u.arcsec, 2 * u.arcsec)
        max_size = 1 * u.deg
        max_pixels = 100
        licence = credit = "me"
        url = "https://mine.example"
        hosts = ("mine.example",)

        def fetch(self, position, size, *, pixels=None, bands=None, timeout=60.0):
            raise NotImplementedError

    CHANGE

    @hookimpl
    def astrollava_fetchers():
        return [Mine()]
"""

MISSTATED = {
    "Mine.bands = Mine.default_bands = 'grz'": "its bands are 'grz', expected a tuple",
    "Mine.bands = ['g']": "its bands are ['g'], expected a tuple",
    "Mine.default_bands = ('z',)": "its default_bands are ('z',), expected some of g",
    "Mine.max_size = 3": "its max_size is 3, expected an angle",
    "Mine.pixel_scale = 1 * u.kg": "its pixel_scale is <Quantity 1. kg>, expected an angle",
    "Mine.scale_range = 1 * u.arcsec": "its scale_range is <Quantity 1. arcsec>, expected two",
    "Mine.footprint = 'all'": "its footprint has no method contains(position)",
    "del Mine.footprint": "its footprint has no method contains(position)",
    "del Mine.credit": "its credit is None, expected words",
    "Mine.licence = ' '": "its licence is ' ', expected words",
    "Mine.url = 'mine.example'": "its url is 'mine.example', expected an address",
    "Mine.url = 'https://[mine'": "its url is 'https://[mine', expected an address",
    "Mine.hosts = 'mine.example'": "its hosts are 'mine.example', expected names",
    "Mine.hosts = ('https://mine.example',)": "its hosts are ('https://mine.example',), expected",
    "Mine.hosts = 'mine.example' ": "or a path, in a tuple: ('mine.example',)",
    "Mine.fetch = lambda self, position, size, *, pixels=None, bands=None: None": (
        "its fetch(position, size, *, pixels=None, bands=None) cannot be called as fetch(position,"
        " size, pixels=..., bands=..., timeout=...): got an unexpected keyword argument 'timeout'"
    ),
    "Mine.plan = lambda self, position, size, *, pixels=None: None": "its plan(position, size, *,",
    "Mine.max_pixels = 1e3": "its max_pixels is 1000.0, expected a whole number",
    "Mine.at_once = 0": "its at_once is 0, expected a whole number above zero",
    "Mine.rate = 0": "its rate is 0, expected requests a second, above zero",
    "Mine.depth = 23 * u.mag": "its depth is <Quantity 23. mag>, expected an AB magnitude",
    "Mine.survey = property(lambda self: 1 / 0)": "looking at it fails with ZeroDivisionError",
    "Mine.base_url = 'https://other.example/a'": (
        "its base_url 'https://other.example/a' is at none of its hosts mine.example: say"
        " hosts = ('other.example',)"
    ),
    "Mine.base_url = 'https://mine.example:8443'": "say hosts = ('mine.example:8443',)",
    "Mine.base_url = 'mine.example'": "its base_url is 'mine.example', expected an address",
    "Mine.base_url = None": "its base_url is None, expected an address",
}


@pytest.mark.parametrize("change", MISSTATED)
def test_a_fetcher_that_misstates_itself_is_broken_before_anybody_uses_it(
    shelf: Shelf, change: str
) -> None:
    """`plugins check` alone told it; a user got an AttributeError, or waited for ever."""
    shelf.put("mine", FETCHER.replace("CHANGE", change))
    shelf.put("sound", SOUND)
    there = shelf.load()
    assert [plugin.name for plugin in there.loaded] == ["sound"]
    (broken,) = there.broken
    assert broken.reason.startswith("its fetcher 'mine': ")
    assert MISSTATED[change] in broken.reason
    with pytest.raises(UnknownFetcher, match="The plugin mine is broken: its fetcher 'mine'"):
        there.get_fetcher("mine")


@pytest.mark.parametrize(
    "change",
    [
        "",
        "Mine.base_url = 'https://mine.example/a'",
        "Mine.base_url, Mine.hosts = 'http://mine.example:8080', ('mine.example:8080',)",
        "Mine.base_url, Mine.hosts = 'http://mine.example:80', ('mine.example',)",
    ],
)
def test_a_fetcher_that_states_itself_rightly_is_used(shelf: Shelf, change: str) -> None:
    shelf.put("mine", FETCHER.replace("CHANGE", change))
    there = shelf.load()
    assert there.broken == ()
    assert there.get_fetcher("mine").survey == "Mine"


def test_all_that_is_misstated_is_said_at_once(shelf: Shelf) -> None:
    """One fault a run makes five runs of five faults."""
    code = """
        from astrollava.hooks import Exporter, FactProvider, Reader

        class Ex(Exporter):
            name = "ex"
            def write(self, results, path): ...

        class Re(Reader):
            name, suffixes = "re", ".re"
            def accepts(self, head): return False
            def read(self, file, *, max_pixels): ...

        class Fa(FactProvider):
            name, url = "fa", "here"
            def facts(self, position, radius, *, timeout=60.0): return ()

        @hookimpl
        def astrollava_HOOK():
            return [THING()]
    """
    said = {
        ("exporters", "Ex"): ["its exporter 'ex': its suffix is None"],
        ("readers", "Re"): ["its reader 're': its suffixes are '.re', expected a tuple"],
        ("fact_providers", "Fa"): ["its credit is None, expected words", "its url is 'here'"],
    }
    for hook, thing in said:
        shelf.put(hook.replace("_", "-"), code.replace("HOOK", hook).replace("THING", thing))
    reasons = {broken.name: broken.reason for broken in shelf.load().broken}
    for (hook, _), words in said.items():
        for each in words:
            assert each in reasons[hook.replace("_", "-")]


def test_a_method_that_cannot_be_called_as_the_contract_calls_it_is_found(shelf: Shelf) -> None:
    """`plugins check` said ok, and the first who used it got a TypeError."""
    code = """
        from astrollava.hooks import Exporter, FactProvider, Reader

        class Ex(Exporter):
            name, suffix = "ex", ".ex"
            def write(self, results): ...

        class Re(Reader):
            name, suffixes = "re", (".re",)
            def accepts(self): return False
            def read(self, file): ...

        class Fa(FactProvider):
            name, credit, url = "fa", "me", "https://fa.example"
            def facts(self, position, radius): return []

        @hookimpl
        def astrollava_HOOK(): return [THING()]
    """
    wanted = {
        ("exporters", "Ex"): ["cannot be called as write(results, path)"],
        ("readers", "Re"): [
            "cannot be called as accepts(head)",
            "cannot be called as read(file, max_pixels=...)",
        ],
        ("fact_providers", "Fa"): ["cannot be called as facts(position, radius, timeout=...)"],
    }
    for hook, thing in wanted:
        shelf.put(thing.lower(), code.replace("HOOK", hook).replace("THING", thing))
    reasons = {broken.name: broken.reason for broken in shelf.load().broken}
    for (_, thing), words in wanted.items():
        assert all(each in reasons[thing.lower()] for each in words), reasons
