"""Properties that are questions: found, answered one by one, and fixed in the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from astrollava.schema.nodes import Compiled, Literals, Node, Object, Property, joined, literal
from astrollava.schema.places import step

__all__ = ["Question", "fixed", "only_text", "questions"]


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
    within = _object(compiled, node)
    for each in within.properties if within is not None else ():
        here = step(path, each.name)
        choices = _choices(compiled, each)
        if choices is not None:
            yield Question(here, each.description, choices)
        elif each.required:
            yield from _questions(compiled, each.node, here)


def _object(compiled: Compiled, node: Node) -> Object | None:
    """Return the object that a node always is; what contains itself is none that can be fixed."""
    if getattr(node, "pointer", None) in compiled.recursive:
        return None
    found = compiled.flat(node)
    return found[0] if len(found) == 1 and isinstance(found[0], Object) else None


def _choices(compiled: Compiled, each: Property) -> Literals | None:
    if not each.description.endswith("?"):
        return None
    nodes = compiled.flat(each.node)
    known = [node for node in nodes if isinstance(node, Literals)]
    if len(known) < len(nodes):
        return None
    whole = joined(known)
    spoken = [i for i, word in enumerate(whole.words) if word]
    if len(spoken) < 2:
        return None
    return Literals(
        tuple(whole.values[i] for i in spoken),
        tuple(whole.texts[i] for i in spoken),
        tuple(whole.words[i] for i in spoken),
    )


def fixed(compiled: Compiled, answers: Mapping[str, Literals]) -> Compiled:
    """Return the schema with some properties, by path, required to be one value."""
    return replace(compiled, root=_fixed(compiled, compiled.root, answers, ""))


def _fixed(compiled: Compiled, node: Node, answers: Mapping[str, Literals], path: str) -> Node:
    within = _object(compiled, node)
    if within is None:
        return node
    properties = []
    for each in within.properties:
        here = step(path, each.name)
        if here in answers:
            properties.append(replace(each, node=answers[here], required=True))
        elif each.required:
            properties.append(replace(each, node=_fixed(compiled, each.node, answers, here)))
        else:
            properties.append(each)
    return replace(within, properties=tuple(properties))


def only_text(compiled: Compiled, node: Node | None = None) -> str | None:
    """Return the one text a schema allows, or None where there are several."""
    nodes = compiled.flat(compiled.root if node is None else node)
    if len(nodes) != 1:
        return None
    if isinstance(nodes[0], Literals):
        return nodes[0].texts[0] if len(nodes[0].texts) == 1 else None
    if not isinstance(nodes[0], Object):
        return None
    parts = []
    for each in nodes[0].properties:
        # What contains itself is never the only text: it is optional, or one of several.
        text = only_text(compiled, each.node) if each.required else None
        if text is None:
            return None
        parts.append(f"{literal(each.name)}:{text}")
    return f"{{{','.join(parts)}}}"
