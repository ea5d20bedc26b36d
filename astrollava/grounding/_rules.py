"""The patterns by which claims are found: one row a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from astrollava.grounding import _names as names
from astrollava.grounding._numbers import DIGITS, END, GAP, OF, START, VALUE

__all__ = [
    "COMPARISON",
    "DEGREES_BEFORE",
    "EXTENT_AFTER",
    "LENGTH_BEFORE",
    "NUMBER",
    "REFUSAL",
    "Rule",
    "rules",
]

_SKY_LENGTHS = r"light[-\s‐‑]?years?|(?:kilo|mega|giga)?parsecs?"
_LENGTHS = (
    rf"{_SKY_LENGTHS}|light[-\s‐‑]?(?:minutes?|hours?)|[kmg]?ly|"
    r"(?-i:pc)|[kmg]pc|"
    r"astronomical\sunits?|(?-i:AU)|kilomet(?:re|er)s?|km|miles?"
)
_SUN = r"(?:\$?_?\{?\\?(?:sun|odot|☉|⊙)\}?)"
_SOLAR_MASSES = rf"(?:solar|jupiter|earth|stellar)[-\s]mass(?:es)?|(?-i:M)\s?{_SUN}"
_PER_YEAR = r"\s?(?:per|a|each|every|/)\s?(?:year|yr)|\s?yr\s?(?:\^\{?[-−]1\}?|[-−]1|⁻¹)"
_PER_SECOND = r"\s?(?:/\s?s(?:ec(?:ond)?)?|per\ssecond|s\s?(?:\^\{?[-−]1\}?|[-−]1|⁻¹))"
_ANGLES = (
    r"(?:milli)?arc[-\s]?sec(?:ond)?s?|arc[-\s]?min(?:ute)?s?|[′″]|''|"
    r"(?:square\s)?degrees?\s(?:of|on|in)\s(?:the\s)?sky"
)

#: Words after a length or an angle that make it an extent.
EXTENT_AFTER = re.compile(
    r"\s?-?(?:across(?!\sthe\b)|wide|long|thick|tall|"
    r"in\s(?:diameter|radius|length|extent|size|width|height)|"
    r"(?:[\w-]{1,12}\s)?(?:diameter|radius|extent|disks?|discs?|rings?|bars?))(?!\w)",
    re.IGNORECASE,
)

_OBJECT_EXTENT = r"diameters?|radius|radii|sizes?|widths?|field\sof\sview|subtends?"
_REACH = r"spans?|spanning|extends?|extending|extents?|lengths?|measur(?:es|ing)|"
_REACH += r"stretch(?:es|ing)|separat(?:ed|ion)|covers?|covering"
_UP_TO = r"(?:\s[\w~≈]{1,14}){0,4}\s?[~≈]?\s?$"

#: Words before a length that make it a size, within a few words of it.
LENGTH_BEFORE = re.compile(rf"(?<!\w)(?:{_OBJECT_EXTENT}|{_REACH}){_UP_TO}", re.IGNORECASE)

#: The same for degrees, of which an arm or an orientation may span many in any picture.
DEGREES_BEFORE = re.compile(rf"(?<!\w)(?:{_OBJECT_EXTENT}){_UP_TO}", re.IGNORECASE)

#: A name brought up for comparison identifies nothing.
COMPARISON = re.compile(
    r"(?<!\w)(?:similar\sto|reminiscent\sof|unlike|resembl(?:es?|ing)|analogous\sto|"
    r"compar(?:ed|able)\s(?:to|with))\s(?:(?:the|that|those|of|in|galax(?:y|ies))\s){0,4}$",
    re.IGNORECASE,
)

#: A text that declines to tell makes no claim until its sentence ends.
REFUSAL = re.compile(
    r"(?<!\w)(?:can(?:not|'t|’t|\snot)|could(?:\snot|n't|n’t)|do(?:es)?(?:\snot|n't|n’t)|"
    r"impossible\sto|unable\sto|not\spossible\sto|no\sway\sto|unclear|unknown)"
    r"(?:\s(?:be|it|us|me|the|a|this|picture|image|alone|reliably|possible|to)){0,5}\s?"
    r"(?:tell|told|determine|say|said|show|shown|measure|infer|know|identif|see|seen|reveal|"
    r"confirm|give|contain|establish|whether|if)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """A pattern and the kind of claim it finds.

    Attributes
    ----------
    kind : str
        A kind of claim.
    pattern : re.Pattern
        Matches the words to be flagged, or what follows a number.
    after_number : bool
        Whether `pattern` is to be matched where a number (`NUMBER`) ends.
    needs_extent : bool
        Whether the match is a claim only as an extent: "45 degrees" may be an orientation.
    """

    kind: str
    pattern: re.Pattern[str]
    after_number: bool = False
    needs_extent: bool = False


_IN_YEAR = (
    r"(?:in|since|during|from|until|before|after|year)\s(?:1[5-9]|20)\d\d"
    r"(?!\s?(?:pix|px|x|×|%|per|stars|galax|objects|sources|light|[kmg]?(?:pc|ly)))"
)
_SPECTRUM_SHOWS = (
    r"(?:the|its|their|a|optical)\sspectr(?:um|a)\s(?:shows?|reveals?|indicates?|contains?|"
    r"suggests?|confirms?|exhibits?|has|of\s(?:the|this)\s(?:galaxy|object|nucleus|source))"
)
_OTHER_LIGHT = (
    r"(?:x-?rays?|radio|gamma-?rays?|infrared|ultraviolet)[-\s]"
    r"(?:emission|jets?|lobes?|loud|galax(?:y|ies)|source)"
)
_SCALED = r"(?:(?<=illion[\s-])|(?<=illions[\s-])|(?<=ousand[\s-])|(?<=ons\sof\s)|(?<=nds\sof\s))"

# Case does not matter in these. <n> at the start is a number and the gap after it, <d> a number in
# digits, <of d> a number in digits after "of about", "is", "=" and the like.
_QUANTITIES: tuple[tuple[str, str], ...] = (
    ("redshift", r"red[-\s]?shifts?(?:\sz|\s\(z\))?<of d>"),
    ("redshift", r"z<of d>|z\s?[=~≈∼≃<>≤≥]\s?<d>"),
    ("redshift", r"<d>\s(?:in\s)?red[-\s]?shift"),
    ("redshift", r"(?:high|low|intermediate|moderate|large|small)(?:er|est)?[-\s]redshifts?"),
    ("redshift", r"(?:photometric|spectroscopic|cosmological)[-\s]redshifts?(?:<of d>)?"),
    ("redshift", r"(?:red|blue)[-\s]?shifted"),
    ("star-formation", rf"<n>(?:{_SOLAR_MASSES})(?:\sof\s(?:new\s)?stars)?(?:{_PER_YEAR})"),
    ("star-formation", r"(?:star[-\s]formation\srates?(?:\s\(sfr\))?|sfr)<of d>"),
    ("mass", rf"<n>(?:{_SOLAR_MASSES}|suns(?:'|’)?)"),
    ("mass", r"<n>times\sthe\smass\sof\s(?:the\s|our\s)?\w{1,12}"),
    ("mass", r"<n>times\s(?:more|as)\smassive(?:\s(?:than|as)\s(?:the\s|our\s)?\w{1,12})?"),
    ("mass", r"<n>times\s(?:the\s|our\s)?sun(?:'s|’s)\smass"),
    ("mass", r"mass(?:es)?<of d>"),
    ("mass", r"mass\sratios?<of d>(?::\d{1,4})?"),
    ("age", r"<n>(?:years?|yrs?)[-\s](?:old|ago)"),
    ("age", r"<n>(?:[gmk]yrs?|(?-i:[GM]a))(?:[-\s](?:old|ago))?"),
    ("age", rf"<n>{_SCALED}(?:years?|yrs?)(?:[-\s](?:old|ago))?"),
    ("age", r"age<of d>"),
    ("brightness", r"<n>(?:(?:st|nd|rd|th)[-\s])?mag(?:nitude)?s?"),
    ("brightness", r"(?:first|second|third|fourth|fifth|sixth)[-\s]magnitude"),
    ("brightness", r"(?:magnitudes?|mag)<of d>"),
    ("brightness", r"(?:luminosit(?:y|ies)|flux(?:es)?|surface\sbrightness)<of d>"),
    ("brightness", rf"<n>(?:solar\sluminosit(?:y|ies)|(?-i:L)\s?{_SUN}|[mµμn]?jy|ergs?)"),
    ("brightness", r"<n>times\s(?:brighter|more\sluminous|fainter)\sthan\s(?:the\s|our\s)sun"),
    ("brightness", r"[ugrizybvjhk]\s?[-−–]\s?[ugrizybvjhk]\s?(?:=|≈|of|colou?r\sof)\s?<d>"),
    ("temperature", r"temperatures?<of d>"),
    ("temperature", r"<n>(?:kelvins?|degrees?\s(?:kelvin|celsius|fahrenheit)|°\s?[CFK])"),
    ("temperature", rf"<n>{_SCALED}degrees?"),
    ("temperature", r"\d{1,3}(?:[,\s]?\d{3}){0,3}(?<=\d\d)\s(?-i:K)(?![-\s]?band)|\d{4,6}(?-i:K)"),
    ("velocity", rf"<n>(?:kilomet(?:re|er)s?|km|miles|m)(?:{_PER_SECOND})"),
    ("velocity", r"<n>(?:km/h|(?:kilomet(?:re|er)s?|miles)\sper\shour)"),
    ("velocity", r"<n>(?:times|%|per\s?cent\sof)\sthe\sspeed\sof\slight"),
    ("velocity", r"(?:velocit(?:y|ies)|velocity\sdispersions?|(?:rotation\s)?speeds?)<of d>"),
    ("composition", r"\[\s?(?:fe|m|o|α|alpha|mg)\s?/\s?(?:h|fe)\s?\](?:<of d>)?"),
    ("composition", r"12\s?\+\s?log\s?\(?o/h\)?(?:<of d>)?"),
    ("composition", r"metallicit(?:y|ies)<of d>"),
    ("composition", r"(?:(?:sub|super)[-\s]?)?solar[-\s]metallicit(?:y|ies)"),
    ("composition", r"(?:low|high)(?:er)?[-\s]metallicit(?:y|ies)"),
    ("composition", r"metal[-\s](?:poor|rich)"),
    ("distance", rf"<n>(?:{_LENGTHS})(?:\s(?:away|distant))?"),
    ("distance", rf"(?:{_SKY_LENGTHS})\s(?:away|distant)"),
    ("size", rf"<n>(?:{_LENGTHS})\s(?:across|wide|in\sdiameter)"),
    ("size", rf"(?:{_SKY_LENGTHS})\s(?:across|wide|in\sdiameter)"),
    ("angular-size", rf"<n>(?:{_ANGLES})"),
    (
        "position",
        r"(?:r\.?a\.?|right\sascension)\s?(?:of|is|[=:~])?\s?\d{1,3}[\d\s:hms°.'′″]{0,24}",
    ),
    (
        "position",
        r"(?:dec\.?|decl\.?|declination)\s?(?:of|is|[=:~])?\s?[-−+]?\d{1,2}[\d\s:dms°.'′″]{0,24}",
    ),
    ("observation", r"exposures?(?:\stimes?)?<of d>\s?(?:s|sec|seconds?|min|minutes?|hours?)"),
    ("observation", r"<n>(?:seconds?|minutes?|hours?)[-\s](?:long\s)?exposures?"),
    ("observation", r"(?:discovered|first\s(?:observed|seen|catalogu?ed|recorded))\s(?:by|in|on)"),
    ("observation", _IN_YEAR),
    ("observation", r"(?:1[5-9]|20)\d\d-(?:0\d|1[0-2])-[0-3]\d"),
    ("spectrum", r"(?:emission|absorption|spectral|balmer)[-\s](?:lines?|features?|series)"),
    ("spectrum", r"(?:emission|absorption)[-\s](?:line\s)?spectr(?:um|a)"),
    ("spectrum", _SPECTRUM_SHOWS),
    ("spectrum", r"spectroscop(?:y|ic(?:ally)?)"),
    ("spectrum", r"spectral\s(?:type|class)\s(?-i:[OBAFGKM])\d?"),
    ("spectrum", r"(?:h|ly(?:man)?)[-\s]?(?:α|alpha|β|beta|γ|gamma)(?:\s(?:emission|lines?))?"),
    ("spectrum", r"\[\s?(?:o|n|s|ne|fe)\s?i{0,2}v?i{0,1}\s?\](?:\s(?:emission|lines?))?"),
    ("spectrum", _OTHER_LIGHT),
    ("spectrum", r"(?:emits?|emitting)\s(?:strongly\s)?(?:x-?rays?|radio\swaves|gamma-?rays?)"),
    ("spectrum", r"seyfert(?:\s(?:[12]|galax(?:y|ies)|nucle(?:us|i))){0,2}|quasars?"),
    ("spectrum", r"active\sgalactic\snucle(?:us|i)|(?-i:AGNs?)"),
    ("unseen", r"(?:super-?massive\s)?black\sholes?"),
    ("unseen", r"dark[-\s]matter(?:\shalos?)?"),
)


def _words(table: str) -> str:
    """Join the words of a table, longest first so that no name is cut short."""
    return "|".join(re.escape(w) for w in sorted(table.split(), key=len, reverse=True))


def _any_name(table: str) -> str:
    every = [name for line in names.lines(table) for name in line]
    every.sort(key=len, reverse=True)
    return "|".join(_spaced(name) for name in every)


def _spaced(name: str) -> str:
    """Escape a name, letting any one space or hyphen and either apostrophe stand in it."""
    return re.escape(name).replace(r"\ ", r"[\s-]").replace("'", "['’]")


def _named_by_noun() -> list[str]:
    ends = {"galaxy": "alax(?:y|ies)", "galaxies": "alax(?:y|ies)", "nebula": "ebula[es]?"}
    words: dict[str, list[str]] = {}
    for line in names.lines(names.NAMED_BY_NOUN):
        word, noun = line[0].split(" | ")
        words.setdefault(noun[0] + ends.get(noun, noun[1:]), []).append(_spaced(word))
    patterns = []
    for noun, several in words.items():
        either = "|".join(several)
        patterns.append(rf"(?:{either})\s{noun[0].upper()}{noun[1:]}")
        patterns.append(rf"(?<=[Tt]he\s)(?i:(?:{either})\s{noun})")
    return patterns


def _identities() -> list[tuple[str, str]]:
    """Patterns in which case matters."""
    stars = _any_name(names.CONSTELLATIONS)
    number = r"[\s–-]{0,2}[+-]?\d[\d.+/-]{0,20}[A-Za-z]{0,3}"
    letters = "Alpha|Beta|Gamma|Delta|Epsilon|Zeta|Eta|Theta|Iota|Kappa|Lambda|Mu|Nu|Xi|Omicron|"
    letters += "Pi|Rho|Sigma|Tau|Upsilon|Phi|Chi|Psi|Omega|Proxima|[α-ω]|\\d{1,3}|[RS-Z]{1,2}"
    # "Hubble sequence" and its like are words of morphology, not claims about a telescope.
    not_class = (
        r"(?!\s(?:classif|types?\b|sequence|stages?\b|tuning|constant|law|flow|time|diagram|class|"
        r"scheme|morph)|-type|['’]s\s(?:law|sequence|classif|tuning))"
    )
    coordinates = r"J\d{4,8}(?:\.\d{1,3})?(?:[+−–-]\d{4,8}(?:\.\d{1,3})?)?"
    identity = [
        rf"(?:(?i:{_words(names.CATALOGUES_ANY_CASE)})|{_words(names.CATALOGUES)}){number}",
        r"M\s?(?:10\d|110|[1-9]\d?)(?!\.\d)(?!-\w|\s?[☉⊙])",
        rf"(?:{_words(names.COORDINATE_CATALOGUES)})\s?{coordinates}",
        r"J\d{4,8}(?:\.\d{1,3})?[+−–-]\d{4,8}(?:\.\d{1,3})?",
        r"Gaia\s(?:E?DR\d\s)?\d{8,20}",
        r"AT\s?20\d\d[a-z]{1,4}",
        r"(?i:messier|ngc|new\sgeneral)\s(?i:catalogu?e?|objects?|list)",
        _any_name(names.PROPER_NAMES),
        *_named_by_noun(),
        rf"(?<=[Tt]he\s)(?:{_words(names.AFTER_THE)})(?!-)",
        rf"(?:{stars}|Coma)\s(?:Galaxy|Nebula|[Cc]luster|Supercluster|Group|Dwarf|[Dd]warf\s[Gg]alaxy)",
        rf"(?<=[Tt]he\s)(?i:(?:{stars}|coma)\s(?:galaxy|nebula|cluster|supercluster|group|dwarf))",
        r"(?:Centaurus|Fornax|Virgo|Perseus|Cygnus|Hydra|Hercules|Cassiopeia)\sA",
        rf"(?:{letters})\s(?:{_words(names.GENITIVES)})",
    ]
    position = [
        rf"(?i:constellations?(?:\sof)?)\s(?:{stars})",
        rf"(?:{stars})\s(?i:constellation)",
        rf"(?:in|[Tt]owards?)\s(?:{stars})(?!\s(?:Galaxy|Nebula|[Cc]luster|A\b))",
    ]
    months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
    observation = [
        rf"(?:{_any_name(names.TELESCOPES)}){not_class}",
        rf"(?:\d{{1,2}}\s)?(?:{months})[a-z]{{0,6}}\.?\s(?:\d{{1,2}},?\s)?(?:1[5-9]|20)\d\d",
    ]
    table = {"identity": identity, "position": position, "observation": observation}
    return [(kind, pattern) for kind, patterns in table.items() for pattern in patterns]


#: A number and the gap after it, found once for all rules about units.
NUMBER = re.compile(rf"{START}(?:{VALUE}){GAP}", re.IGNORECASE)


@cache
def rules() -> tuple[Rule, ...]:
    """Compile the rules, once and only when a text is first checked."""
    found = []
    for kind, pattern in _QUANTITIES:
        after_number = pattern.startswith("<n>")
        filled = pattern.removeprefix("<n>").replace("<of d>", f"{OF}<d>").replace("<d>", DIGITS)
        start = "" if after_number else START
        compiled = re.compile(rf"{start}(?:{filled}){END}", re.IGNORECASE)
        found.append(Rule(kind, compiled, after_number))
    degrees = re.compile(rf"(?:degrees?|deg|°){END}", re.IGNORECASE)
    found.append(Rule("angular-size", degrees, after_number=True, needs_extent=True))
    for kind, pattern in _identities():
        found.append(Rule(kind, re.compile(rf"{START}(?:{pattern}){END}")))
    return tuple(found)
