"""Plugins load one at a time: what is broken is listed with its reason and harms nothing."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from astrollava.errors import InvalidRequest, UnknownFetcher
from astrollava.hooks import Plugins, manager
from plugin_files import Shelf

STRETCH = """
    @hookimpl
    def astrollava_stretches():
        return {"NAME": lambda x: x ** 2}
"""


def stretch(name: str) -> str:
    return STRETCH.replace("NAME", name)


def reason(there: Plugins) -> str:
    assert there.loaded == (), there.loaded
    (broken,) = there.broken
    return broken.reason


# What is sound -------------------------------------------------------------------------------


def test_a_plugin_says_whose_it_is_and_what_it_gives(shelf: Shelf) -> None:
    module = shelf.put("square", stretch("square"))
    there = shelf.load()
    assert there.broken == ()
    (plugin,) = there.loaded
    assert (plugin.name, plugin.distribution, plugin.version) == ("square", "dist-square", "1.0")
    assert plugin.module == module
    assert plugin.hooks == ("astrollava_stretches",)
    assert plugin.gives == {"stretches": ("square",)}
    offer = there.offered("stretches")["square"]
    assert (offer.plugin, offer.distribution, offer.version) == ("square", "dist-square", "1.0")
    assert offer.value(3) == 9


def test_a_plugin_may_be_an_object(shelf: Shelf) -> None:
    """An author who keeps state in an instance names that in the entry point."""
    code = """
        class Mine:
            astrollava_contract = 1

            def __init__(self, power):
                self.power = power

            @hookimpl
            def astrollava_stretches(self):
                return {"root": lambda x: x ** self.power}

        plugin = Mine(0.5)
    """
    shelf.put("object", code, head="from astrollava.hooks import hookimpl\n", entry=":plugin")
    assert shelf.load().offered("stretches")["root"].value(4) == 2


def test_an_iterable_may_be_made_on_the_way(shelf: Shelf) -> None:
    code = """
        from astrollava.hooks import Vocabulary

        @hookimpl
        def astrollava_vocabularies():
            for name in ("tides", "bars"):
                yield Vocabulary(name, ("a", "b"), "What?", {"a": "A.", "b": "B."})
    """
    shelf.put("words", code)
    assert tuple(shelf.load().offered("vocabularies")) == ("tides", "bars")


# What is broken ------------------------------------------------------------------------------

BROKEN = {
    "no-such-import": ("import a_module_that_is_not_there", "ModuleNotFoundError"),
    "raises": ("raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "leaves": ("import sys; sys.exit(3)", r"tries to end the program \(3\)"),
    "base-exception": ("raise GeneratorExit", "GeneratorExit"),
    "no-syntax": ("def", "SyntaxError"),
    "no-hook": ("x = 1", "implements no hook"),
    "misspelt": (
        "@hookimpl\ndef astrollava_fetcher():\n    return []",
        "no hook astrollava_fetcher; did you mean astrollava_fetchers",
    ),
    "other-name": ("@hookimpl\ndef my_own():\n    return []", "no hook my_own"),
    "unmarked": (
        "def astrollava_fetchers():\n    return []",
        "astrollava_fetchers is not marked with astrollava.hooks.hookimpl",
    ),
    "wrong-argument": (
        "@hookimpl\ndef astrollava_after_describe(result, image):\n    pass",
        "(?i)image",
    ),
    "hook-raises": (
        "@hookimpl\ndef astrollava_models():\n    raise KeyError('x')",
        r"astrollava_models\(\) fails with KeyError",
    ),
    "hook-leaves": (
        "@hookimpl\ndef astrollava_models():\n    raise SystemExit",
        "tries to end the program",
    ),
    "none": ("@hookimpl\ndef astrollava_models():\n    pass", "gives None, expected an iterable"),
    "text": ("@hookimpl\ndef astrollava_readers():\n    return 'abc'", "gives str 'abc'"),
    "wrong-type": (
        "@hookimpl\ndef astrollava_readers():\n    return [object()]",
        "gives object .*, no Reader",
    ),
    "the-class": (
        (
            "from astrollava.hooks import Exporter\n"
            "class Mine(Exporter):\n    name = 'mine'\n"
            "@hookimpl\ndef astrollava_exporters():\n    return [Mine]"
        ),
        "the class Mine, no Exporter: make an instance",
    ),
    "abstract": (
        (
            "from astrollava.hooks import Exporter\n"
            "class Mine(Exporter):\n    name = 'mine'\n"
            "@hookimpl\ndef astrollava_exporters():\n    return [Mine()]"
        ),
        "TypeError: Can't instantiate abstract class Mine",
    ),
    "generator-raises": (
        "@hookimpl\ndef astrollava_readers():\n    yield 1 / 0",
        "ZeroDivisionError",
    ),
    "no-function": (
        "@hookimpl\ndef astrollava_stretches():\n    return {'mine': 3}",
        "stretch 'mine' is int 3, no function",
    ),
    "no-mapping": (
        "@hookimpl\ndef astrollava_stretches():\n    return [abs]",
        "expected a mapping",
    ),
    "bad-name": (
        "@hookimpl\ndef astrollava_stretches():\n    return {'My Stretch': abs}",
        "'My Stretch' needs a name of lower case",
    ),
    "own-stretch": (
        "@hookimpl\ndef astrollava_stretches():\n    return {'asinh': abs}",
        "'asinh' has a name of astrollava's own",
    ),
    "own-model": (
        (
            "from astrollava.hooks import Entry\n"
            "@hookimpl\ndef astrollava_models():\n"
            "    return [Entry('llava-1.5-7b', 'x', 'MIT', 4, 'pad', checkpoint='a/b')]"
        ),
        "'llava-1.5-7b' has a name of astrollava's own",
    ),
    "own-vocabulary": (
        (
            "from astrollava.hooks import Vocabulary\n"
            "@hookimpl\ndef astrollava_vocabularies():\n"
            "    return [Vocabulary('galaxy10', ('a', 'b'), '?', {'a': 'A', 'b': 'B'})]"
        ),
        "'galaxy10' has a name of astrollava's own",
    ),
    "model-without-files": (
        (
            "from astrollava.hooks import Entry\n"
            "@hookimpl\ndef astrollava_models():\n    return [Entry('mine', 'x', 'MIT', 4, 'pad')]"
        ),
        "neither a repo nor a checkpoint",
    ),
    "twice": (
        (
            "from pathlib import Path\nfrom astrollava.hooks import Exporter\n"
            "class Mine(Exporter):\n    name = 'mine'\n    def write(self, results, path): ...\n"
            "@hookimpl\ndef astrollava_exporters():\n    return [Mine(), Mine()]"
        ),
        "two of exporters the name 'mine'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_the_next_one_works(
    shelf: Shelf, name: str
) -> None:
    """One bad plugin that ends every command is the fault of others' plugin systems."""
    code, said = BROKEN[name]
    shelf.put(name, code)
    shelf.put("zz-sound", stretch("square"))
    there = shelf.load()
    (broken,) = there.broken
    assert broken.name == name
    assert broken.distribution == f"dist-{name}"
    import re

    assert re.search(said, broken.reason), broken.reason
    assert [plugin.name for plugin in there.loaded] == ["zz-sound"]
    assert set(there.offered("stretches")) == {"square"}


def test_a_plugins_own_failure_comes_with_its_traceback(shelf: Shelf) -> None:
    """An author has to see the line; a user only the reason."""
    module = shelf.put("deep", "def inner():\n    return 1 / 0\n\ninner()")
    (broken,) = shelf.load().broken
    assert f"{module}.py" in broken.trace
    assert "in inner" in broken.trace
    assert "\n" not in broken.reason


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "does not say which contract it keeps: astrollava_contract = 1"),
        ("astrollava_contract = 2", "written for the contract 2, .* it needs a newer one"),
        ("astrollava_contract = 0", "written for the contract 0, .* too new for it"),
        ("astrollava_contract = '1'", "is '1', which is no whole number"),
        ("astrollava_contract = True", "is True, which is no whole number"),
    ],
)
def test_a_plugin_of_another_contract_is_not_used(shelf: Shelf, line: str, said: str) -> None:
    import re

    shelf.put("other", stretch("a"), head=f"from astrollava.hooks import hookimpl\n{line}\n")
    assert re.search(said, reason(shelf.load()))


def test_an_entry_point_that_names_a_class_says_so(shelf: Shelf) -> None:
    """pluggy would call its functions without an instance, and fail far from the cause."""
    code = "class Mine:\n    astrollava_contract = 1\n"
    shelf.put("a-class", code, entry=":Mine")
    assert "is a class; the entry point must name a module or an instance" in reason(shelf.load())


def test_an_entry_point_that_names_nothing(shelf: Shelf) -> None:
    shelf.put("nothing", stretch("a"), entry=":not_there")
    assert "AttributeError" in reason(shelf.load())


def test_all_of_a_plugin_is_used_or_nothing(shelf: Shelf) -> None:
    """Half a plugin would do half of what its manual says."""
    code = stretch("fine") + "    @hookimpl\n    def astrollava_models():\n        return 3\n"
    shelf.put("half", code)
    there = shelf.load()
    assert "gives int 3" in reason(there)
    assert there.offered("stretches") == {}


def test_a_ctrl_c_while_a_plugin_loads_is_not_swallowed(shelf: Shelf) -> None:
    shelf.put("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        shelf.load()


# Names ---------------------------------------------------------------------------------------


def test_a_name_that_is_taken_breaks_the_later_plugin(shelf: Shelf) -> None:
    shelf.put("b-later", stretch("curve"))
    shelf.put("a-first", stretch("curve"))
    there = shelf.load()
    assert [plugin.name for plugin in there.loaded] == ["a-first"]
    (broken,) = there.broken
    assert broken.reason == (
        "its stretch 'curve' has the name of one of the plugin a-first (dist-a-first 1.0)"
    )


def test_nobody_takes_a_name_of_astrollavas_own_plugins(shelf: Shelf) -> None:
    """Installing a package must not put its fetcher in the place of ours."""
    shelf.put("zz", stretch("curve"), distribution="astrollava")
    shelf.put("aa", stretch("curve"), distribution="aaa")
    there = shelf.load()
    assert [plugin.distribution for plugin in there.loaded] == ["astrollava"]
    assert [broken.name for broken in there.broken] == ["aa"]


def test_two_plugins_of_one_name(shelf: Shelf) -> None:
    shelf.put("same", stretch("one"), distribution="first")
    shelf.put("same", stretch("two"), distribution="second")
    there = shelf.load()
    assert [plugin.distribution for plugin in there.loaded] == ["first"]
    assert there.broken[0].reason == "first 1.0 has a plugin of that name"


def test_a_plugins_name_can_be_written_in_the_variable(shelf: Shelf) -> None:
    """A comma or a dash in front would make it impossible to select or block."""
    shelf.put("-odd", stretch("one"), distribution="odd")
    assert "the name '-odd' is none" in reason(shelf.load())


# Selecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "loaded", "unknown"),
    [
        ("", {"one", "two", "three"}, ()),
        ("all", {"one", "two", "three"}, ("all",)),
        ("none", set(), ("none",)),
        ("one", {"one"}, ()),
        (" one , three ", {"one", "three"}, ()),
        ("-one", {"two", "three"}, ()),
        ("-one,-two", {"three"}, ()),
        ("one,two,-one", {"two"}, ()),
        ("onne", set(), ("onne",)),
        (",,", {"one", "two", "three"}, ()),
    ],
)
def test_the_variable_selects_and_blocks(
    shelf: Shelf, variable: str, loaded: set[str], unknown: tuple[str, ...]
) -> None:
    names = ("one", "two", "three")
    modules = {name: shelf.put(name, stretch(name)) for name in names}
    there = shelf.load(variable)
    assert {plugin.name for plugin in there.loaded} == loaded
    assert set(there.blocked) == set(names) - loaded
    assert there.unknown == tuple(name for name in unknown if name not in ("all", "none"))
    # Blocked means that not one line of it ran.
    assert {name for name in names if modules[name] in sys.modules} == loaded


# Finding -------------------------------------------------------------------------------------


def test_an_unknown_name_gets_near_ones(shelf: Shelf) -> None:
    code = """
        from astrollava.hooks import Exporter

        class Bib(Exporter):
            name, suffix = "bibtex", ".bib"

            def write(self, results, path):
                path.write_text("@misc{x}")

        @hookimpl
        def astrollava_exporters():
            return [Bib()]
    """
    shelf.put("bib", code)
    there = shelf.load()
    assert there.get_exporter(" BibTeX ").name == "bibtex"
    with pytest.raises(InvalidRequest, match=r"no exporter 'bibtx'.*bibtex.*Did you mean bibtex\?"):
        there.get_exporter("bibtx")
    with pytest.raises(UnknownFetcher, match=r"no fetcher 'hips'.*plugins list"):
        there.get_fetcher("hips")
    with pytest.raises(UnknownFetcher, match="no fact provider 'simbad'"):
        there.get_fact_provider("simbad")


def test_the_error_says_why_a_plugin_is_not_there(shelf: Shelf) -> None:
    """ "No such fetcher" for one that is installed, but broken, sends people to the wrong place."""
    shelf.put("sky", "import a_module_that_is_not_there")
    shelf.put("kept-out", stretch("x"))
    there = shelf.load("-kept-out")
    with pytest.raises(UnknownFetcher, match=r"The plugin sky is broken: .*ModuleNotFoundError"):
        there.get_fetcher("sky")
    with pytest.raises(UnknownFetcher, match="Broken, so that nothing of them is used: sky"):
        there.get_fetcher("tesscut")
    with pytest.raises(UnknownFetcher, match="kept out by ASTROLLAVA_PLUGINS"):
        there.get_fetcher("kept-out")


# Being told ----------------------------------------------------------------------------------

TOLD = """
    heard = []

    @hookimpl
    def astrollava_after_describe(result, source):
        heard.append((result, source))
"""


def test_each_listener_is_told_whatever_another_does(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = "@hookimpl\ndef astrollava_after_describe():\n    raise SystemExit('no more')"
    shelf.put("a-deaf", deaf)
    shelf.put("b-hears", TOLD)
    there = shelf.load()
    assert there.broken == ()
    assert there.listening
    with caplog.at_level(logging.WARNING, "astrollava.hooks"):
        there.after_describe("said", "a.fits")
        there.after_describe("more", "b.fits")
    module = sys.modules[there.loaded[1].module]
    assert module.heard == [("said", "a.fits"), ("more", "b.fits")]
    # Ten thousand images must not give ten thousand warnings.
    assert caplog.text.count("a-deaf failed in astrollava_after_describe with SystemExit") == 1


def test_a_wrapper_cannot_reach_the_hooks_of_others(shelf: Shelf) -> None:
    """With one manager for all, a plugin could change what every other one gives."""
    wrapper = """
        @hookimpl(wrapper=True)
        def astrollava_stretches():
            given = yield
            return []

        @hookimpl
        def astrollava_after_describe(result):
            pass
    """
    shelf.put("a-wrapper", wrapper)
    shelf.put("b-plain", stretch("plain"))
    assert set(shelf.load().offered("stretches")) == {"plain"}


# The process ---------------------------------------------------------------------------------


def test_a_plugin_that_asks_for_plugins_while_it_loads(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless loop, or a lock waited for by who holds it."""
    code = "from astrollava.models.catalog import find\nseen = find('not-here')\n"
    shelf.put("asks", code + "from astrollava.hooks import plugins\nplugins()\n")
    monkeypatch.setattr(manager, "_state", {})
    monkeypatch.setenv("ASTROLLAVA_PLUGINS", "asks")
    there = manager.plugins()
    assert [broken.reason[:20] for broken in there.broken] == ["it implements no hook"[:20]]
    assert manager.plugins() is there


def test_plugins_load_once_however_many_threads_ask(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time, sys\ntime.sleep(0.1)\nsys.modules[__name__ + '.again'] = None\n"
    shelf.put("slowly", code + stretch("slowly").replace("    ", "", 1).replace("\n    ", "\n"))
    monkeypatch.setattr(manager, "_state", {})
    monkeypatch.setenv("ASTROLLAVA_PLUGINS", "slowly")
    seen: list[Plugins] = []
    threads = [threading.Thread(target=lambda: seen.append(manager.plugins())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1
    assert set(seen[0].offered("stretches")) == {"slowly"}
