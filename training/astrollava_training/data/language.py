"""Facts in words: captions, descriptions and question-answer pairs that say only what is known.

A statement is made plainly where most voters agree, with "probably" or "perhaps" where they lean one way,
and not at all where they are split. What no picture can show is answered by saying so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astrollava.prompts import CLASSIFY, DESCRIBE, DESCRIBE_GALAXY10
from astrollava.vocabularies import GALAXY10
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.phrases import ASKED, OTHER_KINDS, UNSEEABLE

__all__ = ["CANNOT_TELL", "caption", "class_answer", "conversation", "description"]

CANNOT_TELL = "That cannot be told from the picture alone."

_CLEAR, _LEANING = 0.7, 0.5


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _share(facts: Facts, question: str, answer: str) -> float:
    answered = facts.answers(question)
    return answered[answer] if answered is not None else 0.0


def _leading(facts: Facts, question: str) -> tuple[str, float]:
    answered = facts.answers(question)
    if answered is None:
        return "", 0.0
    best = max(answered, key=lambda answer: answered[answer])
    return best, answered[best]


def _sure(share: float) -> str:
    return "" if share >= _CLEAR else "probably "


_FORMS = {
    "disturbed": "disturbed",
    "merging": "merger",
    "round_smooth": "smooth",
    "in_between_smooth": "smooth",
    "cigar_smooth": "smooth",
    "barred_spiral": "spiral",
    "unbarred_tight_spiral": "spiral",
    "unbarred_loose_spiral": "spiral",
    "edge_on_no_bulge": "edge_on",
    "edge_on_bulge": "edge_on",
}


def form(facts: Facts) -> str:
    """The branch of the tree most voters end in: smooth, edge_on, spiral, disk, merger, disturbed or artifact."""
    if facts.label is not None:
        return _FORMS[facts.label]
    odd, share = _leading(facts, "odd_feature")
    if (
        _share(facts, "odd", "yes") > _CLEAR
        and share > _LEANING
        and odd in ("merger", "disturbed", "irregular")
    ):
        return "merger" if odd == "merger" else "disturbed"
    branch, _ = _leading(facts, "smooth")
    if branch != "features":
        return branch
    if _share(facts, "edge_on", "yes") > _LEANING:
        return "edge_on"
    return "spiral" if _share(facts, "spiral", "yes") > _LEANING else "disk"


_ROUNDED = {
    "round": ("round", "almost circular"),
    "in_between": ("moderately elongated", "slightly oval"),
    "cigar": ("strongly elongated", "cigar-shaped"),
}
_BULGE = {
    "none": ("no visible bulge", "no central bulge"),
    "noticeable": ("a small bulge", "a small central bulge"),
    "obvious": ("an obvious bulge", "a bright central bulge"),
    "dominant": ("a dominant bulge", "a large, dominant bulge"),
}
_ARMS = {
    "1": "one spiral arm",
    "2": "two spiral arms",
    "3": "three spiral arms",
    "4": "four spiral arms",
    "more": "more than four spiral arms",
}
_WOUND = {"tight": "tightly wound", "medium": "moderately wound", "loose": "loosely wound"}


def _first(facts: Facts, kind: str, rng: np.random.Generator) -> str:
    lead = _pick(rng, ("This is", "The picture shows", "The image shows"))
    if kind == "smooth":
        shape, share = _leading(facts, "rounded")
        word = _pick(rng, _ROUNDED[shape]) if shape else ""
        return f"{lead} a smooth {'and ' + word + ' ' if word and share > _LEANING else ''}galaxy without spiral arms."
    if kind == "edge_on":
        return f"{lead} a disk galaxy seen {_pick(rng, ('edge-on', 'edge-on, as a thin line of light'))}."
    if kind == "spiral":
        bar = _share(facts, "bar", "yes")
        if bar > _LEANING:
            return f"{lead} {'' if bar >= _CLEAR else 'what is probably '}a barred spiral galaxy."
        return f"{lead} a spiral galaxy {'without a bar' if bar < 1 - _CLEAR else 'without a clear bar'}."
    if kind == "disk":
        return f"{lead} a disk galaxy without clear spiral arms."
    if kind == "merger":
        return f"{lead} " + _pick(
            rng, ("two galaxies that are merging.", "a pair of merging galaxies.")
        )
    if kind == "disturbed":
        return f"{lead} a galaxy with a disturbed, irregular shape."
    return "The picture is dominated by a star or an artifact rather than a galaxy."


def arms_phrase(facts: Facts) -> str:
    """The arms in words, for example ``"two loosely wound spiral arms"``."""
    number, n_share = _leading(facts, "arms")
    winding, w_share = _leading(facts, "winding")
    words = _ARMS.get(number, "spiral arms") if n_share >= 0.4 else "spiral arms"
    if winding and w_share > 0.45:
        words = words.replace("spiral arm", f"{_WOUND[winding]} spiral arm")
    return words


def bulge_phrase(facts: Facts, rng: np.random.Generator | None = None) -> str:
    """The bulge in words, or an empty text where voters are split."""
    size, share = _leading(facts, "bulge")
    if not size or share < 0.45:
        return ""
    return _BULGE[size][0] if rng is None else _pick(rng, _BULGE[size])


def _details(facts: Facts, kind: str, rng: np.random.Generator) -> list[str]:
    said: list[str] = []
    if kind == "spiral":
        bulge = bulge_phrase(facts, rng)
        said.append(f"It has {arms_phrase(facts)}{' and ' + bulge if bulge else ''}.")
    elif kind == "disk":
        if bulge := bulge_phrase(facts, rng):
            said.append(f"It has {bulge}.")
        if (bar := _share(facts, "bar", "yes")) > _LEANING:
            said.append(f"A bar is {_sure(bar)}present.")
    elif kind == "edge_on":
        shape, share = _leading(facts, "edge_bulge")
        if share > _LEANING:
            said.append(
                {
                    "rounded": "A rounded bulge stands out at its centre.",
                    "boxy": "Its central bulge looks boxy.",
                    "none": "No central bulge is visible.",
                }[shape]
            )
    elif kind == "smooth":
        said.append(
            _pick(
                rng,
                (
                    "Its light fades evenly from a bright centre.",
                    "Its light is smooth and regular, brightest at the centre.",
                ),
            )
        )
    elif kind == "merger":
        said.append(
            _pick(
                rng,
                (
                    "Their light overlaps and looks distorted.",
                    "The shapes are distorted by the encounter.",
                ),
            )
        )
    odd, share = _leading(facts, "odd_feature")
    if _share(facts, "odd", "yes") > _LEANING and share > _LEANING:
        extra = {
            "ring": "A ring of light is visible.",
            "lens": "A lens or arc is visible.",
            "dust_lane": "A dark dust lane is visible.",
            "merger": "",
            "disturbed": "It looks disturbed.",
            "irregular": "Its shape is irregular.",
            "other": "Something unusual is visible.",
        }[odd]
        if extra and kind not in ("merger", "disturbed"):
            said.append(extra)
    if facts.neighbours is not None and rng.random() < 0.7:
        said.append(
            "No other bright source is near."
            if facts.neighbours == 0
            else "Another source lies nearby."
            if facts.neighbours == 1
            else "Several other sources lie in the field."
        )
    return said


def description(facts: Facts, rng: np.random.Generator) -> str:
    """Describe a picture in two to four sentences."""
    if facts.kind != "galaxy":
        return _pick(rng, OTHER_KINDS[facts.kind])
    kind = form(facts)
    if kind == "artifact":
        return _first(facts, kind, rng)
    return " ".join([_first(facts, kind, rng), *_details(facts, kind, rng)])


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """A one-sentence caption, for the alignment stage."""
    return OTHER_KINDS[facts.kind][0] if facts.kind != "galaxy" else _first(facts, form(facts), rng)


def class_answer(label: str) -> str:
    """The answer to `CLASSIFY` for a class key of `LABELS`, as the vocabulary scores it."""
    return GALAXY10.answers[GALAXY10.labels[LABELS.index(label)]]


def _yes_no(share: float, yes: str, no: str) -> str:
    if share >= _CLEAR:
        return f"Yes, {yes}."
    if share >= 0.55:
        return f"Probably yes: {yes}."
    if share > 0.45:
        return "It is hard to tell."
    return f"Probably not: {no}." if share > 1 - _CLEAR else f"No, {no}."


def _answers(facts: Facts, rng: np.random.Generator) -> dict[str, str]:
    """Short answers to the questions of `ASKED` that the facts decide."""
    if facts.kind != "galaxy":
        nothing = "No galaxy is visible in this picture."
        topics = [topic for topic in ASKED if topic != "describe"]
        return dict.fromkeys(topics, nothing) | {"what": OTHER_KINDS[facts.kind][0]}
    kind = form(facts)
    if kind == "artifact":
        return {"what": _first(facts, kind, rng)}
    out = {"what": _first(facts, kind, rng), "galaxy": "Yes, a galaxy is visible."}
    if facts.label is not None:
        out["class"] = class_answer(facts.label)
    out["merging"] = (
        "Yes, two galaxies are merging."
        if kind == "merger"
        else "No, it does not look like a merger."
    )
    if kind == "merger":
        return out
    disturbed = kind == "disturbed"
    out["disturbed"] = "Yes, its shape is disturbed." if disturbed else "No, its shape is regular."
    edge = facts.reach("edge_bulge")  # disk and edge-on together
    out["edge_on"] = _yes_no(edge, "it is seen edge-on", "it is not seen edge-on")
    if disturbed:
        return out
    if kind == "smooth":
        out |= {
            "bar": "No, the galaxy is smooth and shows no bar.",
            "spiral": "No, it is a smooth galaxy without arms.",
            "arms": "It shows no spiral arms.",
            "winding": "It shows no spiral arms.",
            "bulge": "It is smooth, and no separate bulge stands out.",
        }
        shape, share = _leading(facts, "rounded")
        if share > _LEANING:
            out["rounded"] = f"It is {_ROUNDED[shape][0]}."
    elif kind == "edge_on":
        hidden = "It is seen edge-on, so {} cannot be told."
        out |= {
            "bar": hidden.format("a bar"),
            "spiral": hidden.format("spiral arms"),
            "arms": hidden.format("the number of arms"),
        }
        shape, share = _leading(facts, "edge_bulge")
        if share > _LEANING:
            out["bulge"] = {
                "none": "It has no visible bulge.",
                "rounded": "It has a rounded bulge.",
                "boxy": "It has a boxy bulge.",
            }[shape]
    else:
        out["bar"] = _yes_no(_share(facts, "bar", "yes"), "there is a bar", "there is no bar")
        out["spiral"] = _yes_no(
            _share(facts, "spiral", "yes"), "it has spiral arms", "it has no clear spiral arms"
        )
        if bulge := bulge_phrase(facts):
            out["bulge"] = f"It has {bulge}."
        out["rounded"] = "It is a disk galaxy rather than a smooth one."
        number, share = _leading(facts, "arms")
        if kind == "disk":
            out["arms"] = out["winding"] = "It shows no clear spiral arms."
        elif number in _ARMS and share >= 0.4:
            out["arms"] = f"It has {_ARMS[number]}."
        elif number:
            out["arms"] = "The number of arms cannot be told."
        winding, share = _leading(facts, "winding")
        if kind == "spiral" and share > 0.45:
            out["winding"] = f"The arms are {_WOUND[winding]}."
    out["smooth"] = "It is smooth." if kind == "smooth" else "It has a disk with features."
    ring = _share(facts, "odd", "yes") * _share(facts, "odd_feature", "ring")
    if ring > _LEANING or _share(facts, "odd", "no") > _LEANING:
        out["ring"] = "Yes, a ring is visible." if ring > _LEANING else "No, no ring is visible."
    return out


def conversation(
    facts: Facts, rng: np.random.Generator, *, turns: int = 6
) -> list[tuple[str, str]]:
    """Questions and answers about one picture, in a random order.

    Parameters
    ----------
    facts : Facts
        What is known about it.
    rng : numpy.random.Generator
        Chooses questions and wording.
    turns : int
        Number of question-answer pairs, at least one.

    Returns
    -------
    list of (question, answer)
        A request for a description and the class question come more often than the others, and about one
        question in twelve asks for what no picture can show.
    """
    known = _answers(facts, rng)
    asked = [name for name in known if name != "class"]
    weights = np.array(
        [1.6 if name in ("bar", "arms", "spiral", "edge_on") else 1.0 for name in asked]
    )
    count = max(turns - 2, 1)
    chosen = rng.choice(
        len(asked), size=min(count, len(asked)), replace=False, p=weights / weights.sum()
    )
    pairs = [(_pick(rng, ASKED[asked[i]]), known[asked[i]]) for i in chosen]
    prompt = _pick(rng, (DESCRIBE.text, DESCRIBE.text, DESCRIBE_GALAXY10.text, *ASKED["describe"]))
    pairs.append((prompt, description(facts, rng)))
    if "class" in known:
        pairs.append(
            (CLASSIFY.text if rng.random() < 0.7 else _pick(rng, ASKED["class"]), known["class"])
        )
    if rng.random() < 0.08 * turns:
        pairs.append((_pick(rng, UNSEEABLE), CANNOT_TELL))
    order = rng.permutation(len(pairs))
    return [pairs[i] for i in order[:turns]]
