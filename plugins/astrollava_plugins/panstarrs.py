"""Pan-STARRS1 stacks: which sky cell covers a position, then a cutout of it in each band.

The service is two programs at MAST: ``ps1filenames.py`` lists the files of the sky cell around a
position as a table of words, ``fitscut.cgi`` cuts one of them. See
https://outerspace.stsci.edu/display/PANSTARRS/PS1+Image+Cutout+Service

Traps: outside of the survey the list is its header and nothing else, with status 200; ``size``
counts pixels of 0.25 arcsec, and a FITS cutout has no other scale whatever ``output_size`` says;
beyond the edge of the sky cell there is NaN, and more than its 6,000 pixels nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy import units as u

from astrollava.errors import UnreadableAnswer
from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, Declinations, http
from astrollava_plugins._frames import Remaining, read_frame, together
from astrollava_plugins._planned import Planned

if TYPE_CHECKING:
    from astrollava.images import SkyImage

__all__ = ["PanStarrs", "astrollava_contract", "astrollava_fetchers", "parse_files"]

astrollava_contract = 1

_NATIVE = 0.25
_COLUMNS = ("filter", "type", "filename", "badflag")


class PanStarrs(Planned):
    """Stacks of the 3-pi survey in g, r, i, z and y, in linear counts."""

    name = "panstarrs"
    survey = "Pan-STARRS1 3-pi stacks"
    bands = ("g", "r", "i", "z", "y")
    default_bands = ("g", "r", "i")
    wavelength = "optical"
    # Chambers et al. 2016 (arXiv:1612.05560): all of the sky north of -30 deg.
    footprint = Declinations(-30.0, 90.0)
    pixel_scale = _NATIVE * u.arcsec
    scale_range = (_NATIVE * u.arcsec, 8.0 * u.arcsec)
    # A sky cell is 0.4 deg wide and overlaps its neighbours: of more, a part would be missing.
    max_size = 0.2 * u.deg
    max_pixels = 2880
    # g; 5 sigma for points in the stacks (Chambers et al. 2016, abstract).
    depth = 23.3
    licence = "public; credit is asked for, see https://panstarrs.stsci.edu"
    credit = (
        "The Pan-STARRS1 Surveys (Chambers et al. 2016, arXiv:1612.05560), by MAST at STScI; "
        "see https://panstarrs.ifa.hawaii.edu"
    )
    url = "https://outerspace.stsci.edu/display/PANSTARRS"
    hosts = ("ps1images.stsci.edu",)
    base_url = "https://ps1images.stsci.edu/cgi-bin"
    rate = 4.0

    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get a cutout of the stacks."""
        left = Remaining(timeout)
        files = self._files(plan, left())
        # Two pixels more: where the position lies within its pixel is the sky cell's affair.
        side = round(float(plan.size.to_value("arcsec")) / _NATIVE) + 2
        frames = []
        for band in plan.bands:
            asked = {
                "ra": f"{plan.ra:.7f}",
                "dec": f"{plan.dec:.7f}",
                "size": side,
                "format": "fits",
                "red": files[band],
            }
            answer = self.get("fitscut.cgi", asked, accept=http.FITS, timeout=left())
            frames.append(read_frame(answer.body, self.name))
        return together(
            plan,
            frames,
            self.name,
            meta={"telescope": "PS1"},
            source={"files": [files[band] for band in plan.bands]},
        )

    def _files(self, plan: Cutout, timeout: float) -> dict[str, str]:
        asked = {
            "ra": f"{plan.ra:.7f}",
            "dec": f"{plan.dec:.7f}",
            "filters": "".join(plan.bands),
            "type": "stack",
        }
        # Whatever the program calls its words, they are looked at below.
        accept = (*http.TEXT, "text/html")
        answer = self.get("ps1filenames.py", asked, accept=accept, timeout=timeout)
        files = parse_files(answer.text)
        if not files:
            raise self.outside(plan)
        self.check_bands(plan, files)
        return files


def parse_files(text: str) -> dict[str, str]:
    """Read the list of ``ps1filenames.py``.

    Parameters
    ----------
    text : str
        A line with the names of the columns, then one for each file.

    Returns
    -------
    dict
        Filter -> path of its first stack that is not flagged as bad.

    Raises
    ------
    UnreadableAnswer
        If it is no such list, or a part of one.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or not set(_COLUMNS) <= set(lines[0]):
        raise UnreadableAnswer(
            "panstarrs sent no list of files",
            expected=f"columns {', '.join(_COLUMNS)}",
            first_line=http.first_line(text.encode()),
        )
    columns = [lines[0].index(name) for name in _COLUMNS]
    found: dict[str, str] = {}
    for words in lines[1:]:
        if len(words) != len(lines[0]):
            said = " ".join(words)[:100]
            raise UnreadableAnswer(f"panstarrs sent a list with a broken line: {said!r}")
        band, kind, file, flag = (words[column] for column in columns)
        if kind == "stack" and flag == "0":
            found.setdefault(band, file)
    return found


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the stacks."""
    return [PanStarrs()]
