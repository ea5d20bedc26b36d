"""Regular expressions for a number with its unit, safe on any input.

Repeats are bounded or possessive and a number starts only where a word starts, so the time a
pattern takes grows with the length of the text and no faster.
"""

from __future__ import annotations

__all__ = ["DIGITS", "END", "GAP", "OF", "START", "VALUE"]

_EXPONENT = r"(?:\^|\*\*)\s?[{(]?[-−+]?\d{1,3}[)}]?|[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4}"
_DIGITS = (
    r"[~≈∼≃<>≤≥±+−-]?\s?"
    r"\d++(?:[.,]\d++){0,6}+"
    rf"(?:{_EXPONENT}|e[-−+]?\d{{1,3}}(?!\w))?+"
    rf"(?:\s?(?:[x×·*]|\\times)\s?10(?:{_EXPONENT}))?+"
)
_SCALES = "hundreds?|thousands?|millions?|billions?|trillions?"
_WORDS = (
    f"{_SCALES}|dozens?|"
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "half|quarter|several|many|few|couple"
)
_PIECE = rf"(?:{_DIGITS}|(?:{_WORDS})(?!\w))"
_JOIN = r"(?:\s|[-‐‑–—±]){0,3}+(?:(?:to|or|of|an?|point)\s)?+"

#: No match begins inside a word or a number.
START = r"(?<![\w.])"

#: No match ends inside a word.
END = r"(?!\w)"

#: What may stand between a number and its unit: nothing, spaces, a hyphen, a LaTeX space.
GAP = r"(?:\s|[-‐‑–~]|\\[,;]|\$){0,3}+"

_NUMBER = rf"{_PIECE}(?:{_JOIN}{_PIECE}){{0,5}}+"

#: A number in digits or words, or a range: "2.5", "1.5 × 10^11", "2-3 million", "hundreds of".
VALUE = rf"(?>(?:between\s{_NUMBER}\sand\s)?+{_NUMBER})(?:\s?of)?+(?:\san?(?!\w))?+"

#: A number that begins with a digit: "a mass of two galaxies" states no mass.
DIGITS = rf"(?>{_DIGITS}(?:{_JOIN}(?:{_DIGITS}|(?:{_SCALES})(?!\w))){{0,3}}+)"

# Words that soften a number.
_ABOUT = (
    r"(?:\s|about|around|approximately|approx\.?|roughly|nearly|almost|some|only|just|over|under|"
    r"up\sto|more\sthan|less\sthan|at\sleast|likely|probably|estimated|at|to\sbe|the\sorder\sof){0,6}+"
)

_LINKS = "of|is|was|are|equals|reaches|appears|seems|near|between|[=~≈∼≃<>≤≥:]"

#: What links a quantity to its value: "mass of about", "mass is roughly", "mass = ".
OF = rf"(?:\s?(?:{_LINKS})|\s){{1,2}}+{_ABOUT}"
