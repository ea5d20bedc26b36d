"""Standard output is astrollava's, whatever plugins print."""

from __future__ import annotations

import sys

import pytest

from plugin_files import Shelf


def test_other_threads_print_where_they_did(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plugin that takes long to load must not take the words of the rest of the program."""
    code = """
    import threading, sys
    def other():
        print("theirs")
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    print("mine")
    @hookimpl
    def astrollava_stretches():
        return {"curve": abs}
    """
    before = sys.stdout
    shelf.put("slow", code)
    assert shelf.load().broken == ()
    assert sys.stdout is before
    assert capsys.readouterr() == ("theirs\n", "mine\n")
