"""JSON schemas: from Python types, to grammars a model is held to, and back to Python values.

A schema may come from anybody: reading one is bounded, and nothing in it reaches a grammar unless
it was escaped.
"""

from __future__ import annotations

from astrollava.schema.asking import Ahead, Question, ahead, fixed, only, questions
from astrollava.schema.checks import validate
from astrollava.schema.gbnf import grammar
from astrollava.schema.kinds import build, schema_of
from astrollava.schema.nodes import Compiled, compile_schema
from astrollava.schema.outline import outline
from astrollava.schema.places import Place, places

__all__ = [
    "Ahead",
    "Compiled",
    "Place",
    "Question",
    "ahead",
    "build",
    "compile_schema",
    "fixed",
    "grammar",
    "only",
    "outline",
    "places",
    "questions",
    "schema_of",
    "validate",
]
