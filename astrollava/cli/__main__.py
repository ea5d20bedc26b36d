"""``python -m astrollava.cli`` is the ``astrollava`` command."""

from __future__ import annotations

from astrollava.cli import main

main()
