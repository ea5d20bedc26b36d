"""Out to Aladin, DS9 and TOPCAT: results as a table, and their FITS files, over SAMP.

SAMP is the messaging protocol of the Virtual Observatory (IVOA Recommendation 1.3). Applications on
this machine meet at a hub that one of them runs; Aladin and TOPCAT start one with themselves.

``astropy.samp`` is deprecated; its successor `pyvo.samp` asks google.com whether there is a network
each time a client is made. The hub is therefore spoken to through its proxy, which asks nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from astrollava.errors import PluginError
from astrollava.hooks import Exporter, check_packages, hookimpl
from astrollava_plugins._needed import EXTRA, PYVO

__all__ = ["Samp", "astrollava_contract", "astrollava_exporters", "send_image", "send_table"]

astrollava_contract = 1

# A viewer is sent the images of a handful of results; of more, the table names the files.
_MOST_IMAGES = 16
# How SAMP_HUB begins, and what a lock file must say.
_PROFILE = "std-lockurl:"
_NEEDED = ("samp.hub.xmlrpc.url", "samp.secret")
# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Samp(Exporter):
    """Writes results as a VOTable and sends it, with the FITS files described, to a SAMP hub.

    Parameters
    ----------
    timeout : float
        Whole seconds that each application has to load what it is sent.
    """

    name = "samp"
    suffix = ".vot"
    requires = PYVO
    install = EXTRA
    # The applications are told the file's name.
    announces = True

    def __init__(self, *, timeout: float = 30.0) -> None:
        self.timeout = timeout

    def write(self, results: Sequence[Any], path: Path) -> None:
        """Write the table and send it; the images too, if they are files, sixteen at most.

        Parameters
        ----------
        results : sequence of Description, Answer, Classification or Extraction
            One or more. Those whose position is known carry it.
        path : Path
            The VOTable to write. The applications have read it when this returns.

        Raises
        ------
        PluginError
            If there is no hub, no application at it that takes tables, or one fails.
        """
        table = _table(results)
        table.write(path, format="votable", overwrite=True)
        send_table(path, name="astrollava", timeout=self.timeout)
        images = [file for result in results if (file := _fits_file(result)) is not None]
        if len(images) <= _MOST_IMAGES:
            with _hub() as hub:
                # A table viewer is welcome to the table alone.
                if hub.takers("image.load.fits"):
                    for image in dict.fromkeys(images):
                        hub.send("image.load.fits", _image_parameters(image), self.timeout)


def send_table(path: Path | str, *, name: str = "", timeout: float = 30.0) -> tuple[str, ...]:
    """Have every application that takes tables load a VOTable.

    Parameters
    ----------
    path : path-like
        The file; it must stay until the applications have read it.
    name : str
        What they shall call it; its file's name by default.
    timeout : float
        Whole seconds that each has.

    Returns
    -------
    tuple of str
        The names of the applications that loaded it.

    Raises
    ------
    PluginError
        If there is no hub, no application at it that takes tables, or one fails.
    """
    file = Path(path).resolve()
    parameters = {"url": file.as_uri(), "table-id": file.as_uri(), "name": name or file.name}
    with _hub() as hub:
        return hub.send("table.load.votable", parameters, timeout)


def send_image(path: Path | str, *, timeout: float = 30.0) -> tuple[str, ...]:
    """Have every application that takes FITS images load one.

    Parameters
    ----------
    path : path-like
        The file; it must stay until the applications have read it.
    timeout : float
        Whole seconds that each has.

    Returns
    -------
    tuple of str
        The names of the applications that loaded it.

    Raises
    ------
    PluginError
        If there is no hub, no application at it that takes FITS images, or one fails.
    """
    with _hub() as hub:
        return hub.send("image.load.fits", _image_parameters(Path(path).resolve()), timeout)


def _image_parameters(file: Path) -> dict[str, str]:
    return {"url": file.as_uri(), "image-id": file.as_uri(), "name": file.name}


@dataclass(frozen=True)
class _Hub:
    """A registered connection to a hub."""

    proxy: Any
    key: str

    def takers(self, mtype: str) -> list[str]:
        """Return the ids of the applications that take such messages."""
        return sorted(self.proxy.get_subscribed_clients(self.key, mtype))

    def send(self, mtype: str, parameters: Mapping[str, str], timeout: float) -> tuple[str, ...]:
        """Call every application that takes such messages, one after the other."""
        message = {"samp.mtype": mtype, "samp.params": dict(parameters)}
        took = []
        for client in self.takers(mtype):
            name = self._name(client)
            answer = self._call(client, name, message, max(1, int(timeout)))
            if answer.get("samp.status") != "samp.ok":
                reason = dict(answer.get("samp.error", {})).get("samp.errortxt", "no reason given")
                raise PluginError(f"{name} could not load {parameters['name']}: {reason}")
            took.append(name)
        if not took:
            raise PluginError(
                f"no application at the SAMP hub takes {mtype}",
                expected="one such as Aladin, DS9 or TOPCAT",
                hint="Start one and send again",
            )
        return tuple(took)

    def _call(
        self, client: str, name: str, message: Mapping[str, Any], seconds: int
    ) -> Mapping[str, Any]:
        import xmlrpc.client

        try:
            answer = self.proxy.call_and_wait(self.key, client, message, str(seconds))
        except xmlrpc.client.Fault as error:
            if "timeout" not in error.faultString.lower():
                raise
            raise PluginError(
                f"{name} did not say within {seconds} s that it had loaded what it was sent",
                hint="It may have all the same: look there before you send again",
            ) from error
        return dict(answer)

    def _name(self, client: str) -> str:
        return str(self.proxy.get_metadata(self.key, client).get("samp.name", client))


@contextmanager
def _hub() -> Iterator[_Hub]:
    """Register with the hub that runs, and leave it at the end."""
    check_packages(Samp)
    import xmlrpc.client

    from pyvo.samp import SAMPHubError, SAMPHubProxy

    where, lock = _lockfile()
    proxy = SAMPHubProxy()
    try:
        proxy.connect(hub_params=lock, pool_size=1)
        key = proxy.register(lock["samp.secret"])["samp.private-key"]
    except (SAMPHubError, OSError, LookupError, ValueError, xmlrpc.client.Error) as error:
        raise PluginError(
            f"no SAMP hub can be reached: the one that {where} names, at "
            f"{lock['samp.hub.xmlrpc.url']}, does not answer ({error})",
            hint="It ended and left the file behind. Start Aladin or TOPCAT, which bring a hub "
            "along and write the file anew, and send again",
        ) from error
    try:
        proxy.declare_metadata(key, {"samp.name": "astrollava"})
        yield _Hub(proxy, key)
    except (OSError, xmlrpc.client.Error) as error:
        raise PluginError(f"the SAMP hub or an application at it failed: {error}") from error
    finally:
        # Where the hub is gone, so is the registration.
        with suppress(OSError, xmlrpc.client.Error):
            proxy.unregister(key)
        proxy.disconnect()


def _lockfile() -> tuple[str, dict[str, str]]:
    """Find the file in which the hub that runs says where it is, and read it (SAMP 1.3, 4.4)."""
    named = os.environ.get("SAMP_HUB", "")
    if named and not named.startswith(_PROFILE):
        raise PluginError(
            f"no SAMP hub can be reached: the environment variable SAMP_HUB is {named!r}",
            expected=f"{_PROFILE} and the address of a hub's lock file",
            hint="Unset it: the file .samp in your home folder is looked for then",
        )
    url = named.removeprefix(_PROFILE) or (Path.home() / ".samp").as_uri()
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme != "file":
        raise PluginError(
            f"no SAMP hub can be reached: SAMP_HUB names a lock file at {url}",
            expected="a file of this machine: file:///...",
            hint="Unset it: the file .samp in your home folder is looked for then",
        )
    path = url2pathname(parts.path)
    where = f"{path}{' (from SAMP_HUB)' if named else ''}"
    try:
        said = Path(path).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PluginError(
            f"no SAMP hub can be reached: its lock file {where} cannot be read ({why})",
            hint="Start Aladin or TOPCAT, which bring a hub along, and send again",
        ) from error
    lines = [line.partition("=") for line in said.splitlines() if not line.startswith("#")]
    lock = {name.strip(): value.strip() for name, _, value in lines}
    # Java writes a colon as it does in its own files.
    lock = {name: value.replace("\\", "") for name, value in lock.items()}
    if missing := [name for name in _NEEDED if not lock.get(name)]:
        raise PluginError(
            f"no SAMP hub can be reached: the lock file {where} has no {' and no '.join(missing)}",
            hint="Remove it, start Aladin or TOPCAT, which bring a hub along, and send again",
        )
    return where, lock


def _table(results: Sequence[Any]) -> Any:
    import numpy as np
    from astropy.table import MaskedColumn, Table

    rows = [result.to_dict() for result in results]
    sources = [row["provenance"]["source"] for row in rows]
    centres = [source.get("centre") or (np.nan, np.nan) for source in sources]
    columns: dict[str, Sequence[str]] = {
        "image": [str(source.get("path") or source.get("kind", "")) for source in sources],
        "result": [row["type"] for row in rows],
        "text": [str(result) for result in results],
        "question": [row.get("question", "") for row in rows],
        "label": [next(iter(row.get("probabilities", {})), "") for row in rows],
        "model": [row["provenance"]["model"]["name"] for row in rows],
        "created": [row["provenance"]["created"] for row in rows],
    }
    table = Table({name: [_xml(value) for value in column] for name, column in columns.items()})
    for index, (name, ucd) in enumerate([("ra", "pos.eq.ra"), ("dec", "pos.eq.dec")], start=1):
        values = np.array([centre[index - 1] for centre in centres], dtype=float)
        column = MaskedColumn(values, mask=np.isnan(values), unit="deg")
        column.meta["ucd"] = f"{ucd};meta.main"
        table.add_column(column, index=index, name=name)
    return table


def _xml(text: str) -> str:
    """Replace what a VOTable cannot hold: control characters and halves of surrogate pairs."""
    return _NOT_XML.sub("\ufffd", text)


def _fits_file(result: Any) -> Path | None:
    source = result.provenance.source
    if source.get("kind") != "fits" or not source.get("path"):
        return None
    file = Path(source["path"]).resolve()
    return file if file.is_file() else None


@hookimpl
def astrollava_exporters() -> list[Exporter]:
    """Give the exporter to SAMP."""
    return [Samp()]
