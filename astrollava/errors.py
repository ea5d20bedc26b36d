"""Every exception astrollava raises on purpose, in one tree.

::

    AstrollavaError
    ├── ImageError (ValueError)
    │   ├── ImageNotFound (FileNotFoundError)   no file at that path
    │   ├── UnsupportedImage (TypeError)        a type, format or dtype that is not an image
    │   ├── CorruptImage                        truncated or damaged
    │   ├── NoImageInFile                       a FITS file that holds tables only
    │   ├── AmbiguousImage                      a cube with no clear meaning as bands
    │   ├── EmptyImage                          an axis of length zero
    │   ├── ImageTooLarge                       more pixels than the limit
    │   └── RenderError                         unknown stretch, interval or combination
    ├── ModelError (RuntimeError)
    │   ├── ModelNotFound (FileNotFoundError)   no such name or file
    │   ├── InvalidModelFile                    corrupt, foreign or out-of-bounds GGUF
    │   ├── ProjectorMismatch                   an mmproj made for another language model
    │   ├── InvalidCheckpoint                   a damaged, foreign or hostile checkpoint
    │   ├── UnsupportedModel                    a model with a part that cannot be converted or run
    │   ├── NotEnoughSpace                      the disk is too full for the files to be written
    │   ├── DownloadFailed                      the hub cannot be reached, or broke off
    │   ├── HashMismatch                        a file is not what its hash promises
    │   ├── InvalidBundle                       a damaged, altered or hostile bundle
    │   ├── EngineUnavailable                   llama-cpp-python missing or of another version
    │   └── ModelLoadFailed                     llama.cpp refused a file that looked sound
    ├── GenerationError (RuntimeError)
    │   ├── ContextTooLong                      prompt and image do not fit the context
    │   ├── TemplateError                       the model's chat template cannot be used
    │   └── ExtractionFailed                    the text ended before the object did
    ├── FetchError (RuntimeError)               a service gave no cutout, or no facts
    │   ├── OutsideFootprint                    the survey has no image there
    │   ├── FetchTimeout (TimeoutError)         no answer, or not all of it, in time
    │   ├── ServiceError                        the service refused or failed
    │   │   └── UnreadableAnswer                what came is cut short or damaged
    │   ├── EmptyCutout                         an image without a single value
    │   ├── CutoutTooLarge                      more sky or pixels than the service gives
    │   ├── FetchRefused                        an answer or redirect that is not safe to follow
    │   └── UnknownFetcher (LookupError)        no fetcher or fact provider of that name
    ├── PluginError (RuntimeError)              a plugin does not keep the contract
    ├── ClosedError (RuntimeError)              the object was closed before
    └── InvalidRequest (ValueError)             an argument outside its documented range
        ├── InvalidSchema                       a schema that is wrong or cannot be held to
        └── InvalidGrammar                      a grammar that llama.cpp refuses

Each says what was given, what was expected and what to do next.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousImage",
    "AstrollavaError",
    "ClosedError",
    "ContextTooLong",
    "CorruptImage",
    "CutoutTooLarge",
    "DownloadFailed",
    "EmptyCutout",
    "EmptyImage",
    "EngineUnavailable",
    "ExtractionFailed",
    "FetchError",
    "FetchRefused",
    "FetchTimeout",
    "GenerationError",
    "HashMismatch",
    "ImageError",
    "ImageNotFound",
    "ImageTooLarge",
    "InvalidBundle",
    "InvalidCheckpoint",
    "InvalidGrammar",
    "InvalidModelFile",
    "InvalidRequest",
    "InvalidSchema",
    "ModelError",
    "ModelLoadFailed",
    "ModelNotFound",
    "NoImageInFile",
    "NotEnoughSpace",
    "OutsideFootprint",
    "PluginError",
    "ProjectorMismatch",
    "RenderError",
    "ServiceError",
    "TemplateError",
    "UnknownFetcher",
    "UnreadableAnswer",
    "UnsupportedImage",
    "UnsupportedModel",
]


class AstrollavaError(Exception):
    """The root of all errors raised on purpose.

    Parameters
    ----------
    problem : str
        What went wrong, naming what was given.
    expected : str, optional
        What would have been accepted.
    hint : str, optional
        What to do next.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = "") -> None:
        self.problem = problem
        self.expected = expected
        self.hint = hint
        super().__init__(problem, expected, hint)

    def __str__(self) -> str:
        parts = [self.problem]
        if self.expected:
            parts.append(f"Expected {self.expected}")
        if self.hint:
            parts.append(self.hint)
        return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would otherwise be lost between processes.
        return (_rebuild, (type(self), self.problem, self.expected, self.hint))


def _rebuild(
    kind: type[AstrollavaError], problem: str, expected: str, hint: str
) -> AstrollavaError:
    return kind(problem, expected=expected, hint=hint)


class ImageError(AstrollavaError, ValueError):
    """The image cannot be used."""


class ImageNotFound(ImageError, FileNotFoundError):
    """There is no file at the path given.

    Parameters
    ----------
    problem, expected, hint : str
        As for `AstrollavaError`.
    filename : str, optional
        The path, as of any `FileNotFoundError`.
    """

    def __init__(
        self, problem: str, *, expected: str = "", hint: str = "", filename: str | None = None
    ) -> None:
        super().__init__(problem, expected=expected, hint=hint)
        self.filename = filename

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_missing, (self.problem, self.expected, self.hint, self.filename))


def _rebuild_missing(problem: str, expected: str, hint: str, filename: str | None) -> ImageNotFound:
    return ImageNotFound(problem, expected=expected, hint=hint, filename=filename)


class UnsupportedImage(ImageError, TypeError):
    """The object's type, format or dtype is not that of an image."""


class CorruptImage(ImageError):
    """The file is truncated or damaged."""


class NoImageInFile(ImageError):
    """A FITS file without an image, or not at the HDU asked for."""


class AmbiguousImage(ImageError):
    """An array of three or more axes whose planes have no clear meaning as bands."""


class EmptyImage(ImageError):
    """An axis of the image has length zero."""


class ImageTooLarge(ImageError):
    """The image has more pixels than the limit allows."""


class RenderError(ImageError):
    """The rendering asked for does not exist or does not fit the image."""


class ModelError(AstrollavaError, RuntimeError):
    """The model cannot be used."""


class ModelNotFound(ModelError, FileNotFoundError):
    """There is no model of that name or at that path."""


class InvalidModelFile(ModelError):
    """The file is not a sound GGUF file."""


class ProjectorMismatch(ModelError):
    """The projector file belongs to another language model."""


class InvalidCheckpoint(ModelError):
    """The folder is not a sound checkpoint: damaged, foreign, or made to do harm."""


class UnsupportedModel(ModelError):
    """A part of the model has no faithful equal in llama.cpp, or is not supported yet."""


class NotEnoughSpace(ModelError):
    """The disk has less room than the files to be written need."""


class DownloadFailed(ModelError):
    """The hub cannot be reached, or the connection broke off; what came is kept."""


class HashMismatch(ModelError):
    """A file's content is not what its SHA-256 promises."""


class InvalidBundle(ModelError):
    """A bundle that is damaged, was altered, or would write where it must not."""


class EngineUnavailable(ModelError):
    """llama-cpp-python is missing, broken or of an unsupported version."""


class ModelLoadFailed(ModelError):
    """llama.cpp could not load a file that passed the header checks."""


class GenerationError(AstrollavaError, RuntimeError):
    """The model could not produce text."""


class ContextTooLong(GenerationError):
    """The prompt, the image and the room for the answer exceed the context."""


class TemplateError(GenerationError):
    """The chat template of the model is missing or cannot be rendered."""


class ExtractionFailed(GenerationError):
    """The text ended before the object did, or is not what the schema says.

    Parameters
    ----------
    problem, expected, hint : str
        As for `AstrollavaError`.
    text : str
        What the model wrote.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = "", text: str = "") -> None:
        super().__init__(problem, expected=expected, hint=hint)
        self.text = text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_cut, (self.problem, self.expected, self.hint, self.text))


def _rebuild_cut(problem: str, expected: str, hint: str, text: str) -> ExtractionFailed:
    return ExtractionFailed(problem, expected=expected, hint=hint, text=text)


class FetchError(AstrollavaError, RuntimeError):
    """A service gave no cutout, or no facts."""


class OutsideFootprint(FetchError):
    """The survey has no image of that part of the sky."""


class FetchTimeout(FetchError, TimeoutError):
    """The service did not answer, or not to the end, in the time allowed."""


class ServiceError(FetchError):
    """The service refused the request, failed, or sent something else than what was asked for.

    Parameters
    ----------
    problem, expected, hint : str
        As for `AstrollavaError`.
    status : int or None
        The HTTP status of the answer, where there was one.
    first_line : str
        The first line of its body that says anything, without markup; empty where none does.
    retry_after : float or None
        Seconds to wait before the next try, where the service says so.
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str = "",
        hint: str = "",
        status: int | None = None,
        first_line: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, expected=expected, hint=hint)
        self.status = status
        self.first_line = first_line
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        said = (self.problem, self.expected, self.hint)
        told = (self.status, self.first_line, self.retry_after)
        return (_rebuild_service, (type(self), *said, *told))


def _rebuild_service(
    kind: type[ServiceError],
    problem: str,
    expected: str,
    hint: str,
    status: int | None,
    first_line: str,
    retry_after: float | None,
) -> ServiceError:
    return kind(
        problem,
        expected=expected,
        hint=hint,
        status=status,
        first_line=first_line,
        retry_after=retry_after,
    )


class UnreadableAnswer(ServiceError):
    """An answer that should be right, and is cut short or damaged: it is worth asking again."""


class EmptyCutout(FetchError):
    """The image that came holds no value: nothing was observed there."""


class CutoutTooLarge(FetchError):
    """More sky, or more pixels, was asked for than the service gives, or came than is allowed."""


class FetchRefused(FetchError):
    """An answer, or a redirect, that is not safe to follow; nothing of it is used."""


class UnknownFetcher(FetchError, LookupError):
    """There is no fetcher, or fact provider, of that name."""


class PluginError(AstrollavaError, RuntimeError):
    """A plugin failed, or does not keep the contract."""


class ClosedError(AstrollavaError, RuntimeError):
    """The object was used after ``close()``."""


class InvalidRequest(AstrollavaError, ValueError):
    """An argument lies outside its documented range."""


class InvalidSchema(InvalidRequest):
    """A JSON schema, or a type, that is wrong, too large, or says what cannot be held to."""


class InvalidGrammar(InvalidRequest):
    """A grammar that llama.cpp refuses, or that the model's tokens cannot spell."""
