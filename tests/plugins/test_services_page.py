"""docs/services.md against what the fetchers declare: a page nobody corrects is soon wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrollava.hooks import Fetcher, plugins

PAGE = Path(__file__).resolve().parents[2] / "docs" / "services.md"


def ours() -> list[Fetcher]:
    there = [
        fetcher
        for fetcher in plugins().fetchers.values()
        if type(fetcher).__module__.startswith("astrollava_plugins.")
    ]
    assert there, "the project is not installed with its entry points"
    return sorted(there, key=lambda fetcher: fetcher.name)


def bands_of(fetcher: Fetcher) -> str:
    default = set(fetcher.default_bands)
    return ", ".join(f"**{band}**" if band in default else band for band in fetcher.bands)


def rows_of(fetcher: Fetcher) -> tuple[str, str]:
    side = f"{fetcher.max_size:g}".replace(" deg", "°").replace(" arcmin", "′")
    depth = "" if fetcher.depth is None else f"{fetcher.depth:.1f}"
    facts = (
        f"`{fetcher.name}`",
        fetcher.survey,
        bands_of(fetcher),
        str(fetcher.footprint),
        f"{fetcher.pixel_scale.to_value('arcsec'):.3g}",
        side,
        str(fetcher.max_pixels),
        depth,
    )
    terms = (f"`{fetcher.name}`", fetcher.licence, fetcher.credit, f"<{fetcher.url}>")
    return f"| {' | '.join(facts)} |", f"| {' | '.join(terms)} |"


@pytest.mark.parametrize("which", [0, 1], ids=["facts", "terms"])
def test_the_page_says_what_fetchers_declare(which: int) -> None:
    """Bands, scale, limits, licence and credit, as they are asked for and recorded."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    expected = [rows_of(fetcher)[which] for fetcher in ours()]
    missing = [row for row in expected if row not in lines]
    assert not missing, "put these into docs/services.md:\n" + "\n".join(missing)


def test_the_page_knows_no_other_services() -> None:
    """A fetcher that is gone must leave the page too."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    known = {f"`{fetcher.name}`" for fetcher in ours()}
    told = {line.split("|")[1].strip() for line in lines if line.startswith("| `")}
    assert told == known
