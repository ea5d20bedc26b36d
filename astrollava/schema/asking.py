"""Properties that are questions: found, answered one by one, and fixed in the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from astrollava.schema.nodes import (
    Array,
    Compiled,
    Literals,
    Node,
    Object,
    Property,
    Ref,
    joined,
    literal,
)
from astrollava.schema.places import step

__all__ = ["Ahead", "Question", "ahead", "fixed", "only", "questions"]


@dataclass(frozen=True)
class Ahead:
    """How far a text is known.

    Attributes
    ----------
    text : str
        What every text starts with; all of it where `path` is empty.
    path : str
        What has to be decided then, as in `Place`.
    choices : Literals or None
        The values it may be, where it is one of a few.
    """

    text: str
    path: str = ""
    choices: Literals | None = None


@dataclass(frozen=True)
class Question:
    """A property whose description is a question with a few answers.

    Attributes
    ----------
    path : str
        As in `Place`.
    text : str
        The question.
    choices : Literals
        The values that have words to answer with.
    """

    path: str
    text: str
    choices: Literals


def questions(compiled: Compiled) -> list[Question]:
    """Return the questions in a schema: those on properties that there are in every value.

    A property is one if its description ends with a question mark and it is one of two or more
    values that have words.
    """
    return list(_questions(compiled, compiled.root, ""))


def _questions(compiled: Compiled, node: Node, path: str) -> Iterator[Question]:
    within = _alone(compiled, node)
    for each in within.properties if isinstance(within, Object) else ():
        here = step(path, each.name)
        choices = _choices(compiled, each)
        if choices is not None:
            yield Question(here, each.description, choices)
        elif each.required:
            yield from _questions(compiled, each.node, here)


def _alone(compiled: Compiled, node: Node) -> Object | Array | None:
    """Return the object or list that a node always is; one within itself cannot be fixed."""
    if isinstance(node, Ref) and node.pointer in compiled.recursive:
        return None
    found = compiled.flat(node)
    return found[0] if len(found) == 1 and isinstance(found[0], Object | Array) else None


def _choices(compiled: Compiled, each: Property) -> Literals | None:
    if not each.description.endswith("?"):
        return None
    nodes = compiled.flat(each.node)
    known = [node for node in nodes if isinstance(node, Literals)]
    if len(known) < len(nodes):
        return None
    whole = joined(known)
    spoken = [i for i, word in enumerate(whole.words) if word]
    return only(whole, *spoken) if len(spoken) > 1 else None


def only(choices: Literals, *kept: int) -> Literals:
    """Return the values at these indices, and no others."""
    return Literals(
        tuple(choices.values[i] for i in kept),
        tuple(choices.texts[i] for i in kept),
        tuple(choices.words[i] for i in kept),
    )


def fixed(compiled: Compiled, answers: Mapping[str, Literals]) -> Compiled:
    """Return the schema with some values, by path, required to be there and to be these.

    What stands in one of several kinds, or in what contains itself, stays as it is.
    """
    meant = {"" if path == "$" else path: answer for path, answer in answers.items()}
    return replace(compiled, root=_fixed(compiled, compiled.root, meant, ""))


def _fixed(compiled: Compiled, node: Node, answers: Mapping[str, Literals], path: str) -> Node:
    if path in answers:
        return answers[path]
    if not any(other.startswith(path) for other in answers):
        return node
    within = _alone(compiled, node)
    if isinstance(within, Object):
        return replace(
            within,
            properties=tuple(_with(compiled, each, answers, path) for each in within.properties),
        )
    if isinstance(within, Array):
        items = list(within.first)
        while within.others is not None and any(
            other.startswith(f"{path}[{len(items)}]") for other in answers
        ):
            items.append(within.others)
        first = [_fixed(compiled, n, answers, f"{path}[{i}]") for i, n in enumerate(items)]
        return replace(within, first=tuple(first), least=max(within.least, len(first)))
    return node


def _with(
    compiled: Compiled, each: Property, answers: Mapping[str, Literals], path: str
) -> Property:
    here = step(path, each.name)
    node = _fixed(compiled, each.node, answers, here)
    return replace(each, node=node, required=each.required or node is not each.node)


def ahead(compiled: Compiled) -> Ahead:
    """Return what every text of a schema starts with, and what has to be decided then."""
    return _ahead(compiled, compiled.root, "")


def _ahead(compiled: Compiled, node: Node, path: str) -> Ahead:
    nodes = compiled.flat(node)
    known = [each for each in nodes if isinstance(each, Literals)]
    if len(known) == len(nodes):
        whole = joined(known)
        return Ahead(whole.texts[0]) if len(whole.texts) == 1 else Ahead("", path or "$", whole)
    within = _alone(compiled, node)
    if isinstance(within, Object):
        names = [f"{literal(each.name)}:" for each in within.properties]
        paths = [step(path, each.name) for each in within.properties]
        inner = [each.node if each.required else None for each in within.properties]
        return _ahead_of_all(compiled, "{}", names, paths, inner)
    if isinstance(within, Array) and within.least == within.most == len(within.first):
        paths = [f"{path}[{index}]" for index in range(len(within.first))]
        return _ahead_of_all(compiled, "[]", [""] * len(paths), paths, within.first)
    return Ahead("", path or "$")


def _ahead_of_all(
    compiled: Compiled,
    signs: str,
    names: Sequence[str],
    paths: Sequence[str],
    nodes: Sequence[Node | None],
) -> Ahead:
    text = signs[0]
    for index, (name, path, node) in enumerate(zip(names, paths, nodes, strict=True)):
        if node is None:
            # Whether it is there at all is to be decided.
            return Ahead(text, path)
        found = _ahead(compiled, node, path)
        text += f"{',' if index else ''}{name}{found.text}"
        if found.path:
            return Ahead(text, found.path, found.choices)
    return Ahead(text + signs[1])
