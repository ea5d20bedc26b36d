"""An answer read as an image; what is wrong with one, said as a service's fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astrollava.errors import (
    CorruptImage,
    CutoutTooLarge,
    EmptyCutout,
    EmptyImage,
    FetchError,
    ImageError,
    ImageTooLarge,
    InvalidRequest,
    NoImageInFile,
    ServiceError,
    UnreadableAnswer,
)
from astrollava.hooks.fetching import http
from astrollava.images import SkyImage, read

__all__ = ["read_answer", "refusal"]


def read_answer(
    answer: bytes | http.Answer,
    service: str,
    *,
    bands: str | Sequence[str] | None = None,
    max_pixels: int | None = None,
) -> SkyImage:
    """Read FITS or a picture that a service sent.

    Parameters
    ----------
    answer : bytes or Answer
        What came.
    service : str
        What the service is called in errors.
    bands : str or sequence of str, optional
        Planes to take, by name; where the file names none, the names of all, in order.
    max_pixels : int, optional
        The most values to read; as for `astrollava.images.read` by default.

    Returns
    -------
    SkyImage

    Raises
    ------
    EmptyCutout
        If there is no image in it.
    CutoutTooLarge
        If it holds more values.
    UnreadableAnswer
        If it is damaged, or only a part of it came: it is asked for again.
    ServiceError
        If it is no image that can be read, or has other planes than `bands`.
    """
    body = answer if isinstance(answer, bytes) else answer.body
    given = {"bands": bands, "max_pixels": max_pixels}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return read(body, **options)
    except (ImageError, InvalidRequest) as error:
        raise refusal(
            service,
            error,
            status=None if isinstance(answer, bytes) else answer.status,
            first_line=http.first_line(body[: 1 << 16]),
        ) from error


def refusal(
    service: str,
    error: ImageError | InvalidRequest,
    *,
    status: int | None = None,
    first_line: str = "",
) -> FetchError:
    """Return what an error of `astrollava.images.read` says of the service whose answer was read.

    Parameters
    ----------
    service : str
        What it is called.
    error : ImageError or InvalidRequest
        What was raised.
    status, first_line
        As of `ServiceError`, where they are known.
    """
    if isinstance(error, NoImageInFile):
        return EmptyCutout(f"{service} sent a FITS file without an image")
    if isinstance(error, EmptyImage):
        return EmptyCutout(f"{service} gave an image without pixels")
    if isinstance(error, ImageTooLarge):
        return CutoutTooLarge(
            f"{service} sent more than it was asked for: {error.problem}",
            hint="Ask for a smaller size",
        )
    told: dict[str, Any] = {"status": status, "first_line": first_line}
    if isinstance(error, InvalidRequest):
        # The reader knows the plugin that asked it for these bands, and no user.
        return ServiceError(
            f"{service} gave an image that is not as asked for:"
            f" {error.problem.replace('bands=', 'the bands are to be ')}",
            hint="Try other bands, or tell the plugin's authors",
            **told,
        )
    kind = UnreadableAnswer if isinstance(error, CorruptImage) else ServiceError
    return kind(
        f"{service} sent no image that can be read: {error.problem}",
        hint="Try again; if it stays, the service is at fault",
        **told,
    )
